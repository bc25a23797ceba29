//! The network between processes of a test: TCP proxies on loopback between which bytes can be held back or delayed, each
//! direction between each two processes by itself. Nothing is lost or reordered, as with TCP over a network that fails and heals: what
//! is held back comes when the way is open again.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;
/// How often it is looked whether somebody listens again.
const AGAIN: Duration = Duration::from_millis(20);
/// How often it is looked who connects.
const LOOKS: usize = 10;
/// Chunks under way in each direction of a connection; more wait in the sender's socket.
const UNDER_WAY: usize = 64;

/// Who sends to whom.
type Way = (String, String);

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rule {
    cut: bool,
    delay: Duration,
}

/// Ways between processes, all open at first. They have a thread of their own, so that a busy test does not look like a slow network.
pub struct Network {
    rules: watch::Sender<BTreeMap<Way, Rule>>,
    tasks: Handle,
    /// Ends the thread when dropped.
    _life: oneshot::Sender<()>,
}

impl Network {
    /// A network without connections.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (tasks, (life, end)) = (runtime.handle().clone(), oneshot::channel::<()>());
        std::thread::Builder::new().name("network".to_owned()).spawn(move || {
            // An error is the end as well: the other side is gone.
            let _ = runtime.block_on(end);
        })?;
        Ok(Self {
            rules: watch::Sender::new(BTreeMap::new()),
            tasks,
            _life: life,
        })
    }

    /// An address at which `from` reaches `to`, which is at `target`. Without `from`, it is whatever process connects: a node whose
    /// configuration is called `NAME.toml` is `NAME`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn door(&self, from: Option<&str>, to: &str, target: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a door")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (from, to) = (from.map(str::to_owned), to.to_owned());
        let rules = self.rules.subscribe();
        let guard = self.tasks.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(guard);
        let door = Door {
            from,
            to,
            target,
            address,
            rules,
        };
        self.tasks.spawn(door.keep(listener));
        Ok(address)
    }

    /// Holds back what `from` sends to `to`; what comes back still comes.
    pub fn cut(&self, from: &str, to: &str) {
        self.rule(from, to, |rule| rule.cut = true);
    }

    /// Holds back everything between the two.
    pub fn part(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Delays everything between the two, each way.
    pub fn delay(&self, one: &str, other: &str, delay: Duration) {
        self.rule(one, other, |rule| rule.delay = delay);
        self.rule(other, one, |rule| rule.delay = delay);
    }

    /// Opens all ways.
    pub fn heal(&self) {
        self.rules.send_modify(BTreeMap::clear);
    }

    fn rule(&self, from: &str, to: &str, change: impl FnOnce(&mut Rule)) {
        self.rules
            .send_modify(|rules| change(rules.entry((from.to_owned(), to.to_owned())).or_default()));
    }
}

/// Where one process, or any, reaches another.
struct Door {
    from: Option<String>,
    to: String,
    target: SocketAddr,
    address: SocketAddr,
    rules: watch::Receiver<BTreeMap<Way, Rule>>,
}

impl Door {
    /// Takes connections for as long as there is somebody behind it; meanwhile it refuses them, as an address without a process does.
    async fn keep(self, mut listener: tokio::net::TcpListener) {
        let (deserted, mut refused) = mpsc::channel(1);
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((socket, peer)) = accepted else { return };
                    self.let_in(socket, peer, deserted.clone());
                }
                _ = refused.recv() => {
                    drop(listener);
                    while TcpStream::connect(self.target).await.is_err() {
                        tokio::time::sleep(AGAIN).await;
                    }
                    let Ok(again) = tokio::net::TcpListener::bind(self.address).await else { return };
                    listener = again;
                    while refused.try_recv().is_ok() {}
                }
            }
        }
    }

    fn let_in(&self, socket: TcpStream, peer: SocketAddr, deserted: mpsc::Sender<()>) {
        let (from, to, rules, target) = (self.from.clone(), self.to.clone(), self.rules.clone(), self.target);
        tokio::spawn(async move {
            let way = (name_of(from, peer).await, to);
            let line = Line { way, rules };
            if line.join(socket, target).await.is_err() {
                let _ = deserted.try_send(()); // one that has been said already is as good
            }
        });
    }
}

/// Who connects. Looking takes a while; nothing else waits for it. The kernel's table may leave a line out while it changes, so who is not
/// found is looked for again: bytes of somebody unknown could not be held back.
async fn name_of(known: Option<String>, peer: SocketAddr) -> String {
    if let Some(name) = known {
        return name;
    }
    for _ in 0..LOOKS {
        if let Ok(Some(name)) = spawn_blocking(move || caller(peer)).await {
            return name;
        }
        tokio::time::sleep(AGAIN).await;
    }
    String::new()
}

/// One connection.
struct Line {
    way: Way,
    rules: watch::Receiver<BTreeMap<Way, Rule>>,
}

impl Line {
    /// Carries bytes both ways until both sides have ended.
    ///
    /// # Errors
    /// When nobody is there.
    async fn join(self, near: TcpStream, target: SocketAddr) -> std::io::Result<()> {
        let back = (self.way.1.clone(), self.way.0.clone());
        let rules = self.rules;
        // A connection comes about only when both can hear each other.
        open(&mut rules.clone(), &self.way).await;
        open(&mut rules.clone(), &back).await;
        let far = TcpStream::connect(target).await?;
        // Without delays of its own; a socket that is gone already fails below.
        let _ = near.set_nodelay(true).and(far.set_nodelay(true));
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::join!(
            carry(near_in, far_out, rules.clone(), &self.way),
            carry(far_in, near_out, rules.clone(), &back)
        );
        Ok(())
    }
}

/// Carries bytes one way, until they end or nobody takes them.
async fn carry(
    mut input: OwnedReadHalf,
    mut output: OwnedWriteHalf,
    mut rules: watch::Receiver<BTreeMap<Way, Rule>>,
    way: &Way,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count) = input.read(&mut buffer).await
            && count > 0
            && sender.send((Instant::now(), buffer[..count].to_vec())).await.is_ok()
        {}
    };
    let write = async {
        while let Some((came, bytes)) = receiver.recv().await {
            let delay = rules.borrow().get(way).map_or(Duration::ZERO, |rule| rule.delay);
            sleep_until(came + delay).await;
            open(&mut rules, way).await;
            if output.write_all(&bytes).await.is_err() {
                return;
            }
        }
        open(&mut rules, way).await;
        // The other side may be gone.
        let _ = output.shutdown().await;
    };
    tokio::pin!(read, write);
    tokio::select! {
        () = &mut write => {}
        () = &mut read => write.await,
    }
}

/// Waits until the way is open; one that is no longer looked after stays as it is.
async fn open(rules: &mut watch::Receiver<BTreeMap<Way, Rule>>, way: &Way) {
    let is_open = |rules: &BTreeMap<Way, Rule>| rules.get(way).is_none_or(|rule| !rule.cut);
    let _ = rules.wait_for(is_open).await;
}

/// The node that has the socket at `address`, found as the kernel tells it (proc(5), `/proc/net/tcp` and `/proc/PID/fd`).
fn caller(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let ip = u32::from_ne_bytes(address.ip().octets());
    let wanted = format!("{ip:08X}:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&wanted.as_str())).then(|| fields.get(9).copied())?
    })?;
    let socket = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.map(|entry| entry.path()).find_map(|process| {
        let name = node_name(&process)?;
        has(&process, &socket).then_some(name)
    })
}

/// `NAME`, when the process was started with `--config …/NAME.toml`.
fn node_name(process: &Path) -> Option<String> {
    let line = std::fs::read_to_string(process.join("cmdline")).ok()?;
    let config = line.split('\0').find(|part| part.ends_with(".toml"))?;
    Some(Path::new(config).file_stem()?.to_str()?.to_owned())
}

fn has(process: &Path, socket: &str) -> bool {
    let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|file| file.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// A connection from `a` to `b` through a network: its near end and its far end.
    async fn connection(network: &Network) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = network.door(Some("a"), "b", listener.local_addr().unwrap()).unwrap();
        let near = TcpStream::connect(door).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    /// Sends a byte; whether it comes at once.
    async fn comes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        from.write_all(b"x").await.unwrap();
        timeout(Duration::from_millis(200), to.read_u8()).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_holds_back_one_way_until_it_is_healed() {
        let network = Network::start().unwrap();
        let (mut near, mut far) = connection(&network).await;
        assert!(comes(&mut near, &mut far).await);
        network.cut("a", "b");
        assert!(!comes(&mut near, &mut far).await);
        assert!(comes(&mut far, &mut near).await);
        network.heal();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn an_end_goes_through_and_a_delay_takes_its_time() {
        let network = Network::start().unwrap();
        let (mut near, mut far) = connection(&network).await;
        network.delay("a", "b", Duration::from_millis(100));
        let began = Instant::now();
        assert!(comes(&mut near, &mut far).await);
        assert!(began.elapsed() >= Duration::from_millis(100));
        drop(near);
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}
