//! The network between nodes: connections of bytes in order, each byte under way for a while. Links between two nodes can be cut (bytes
//! wait, as TCP's do), slowed, or broken; a node that dies leaves what it had written, and no more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use link::grpc::{Connection, Connector};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::server::Connected;

use crate::chance::Chance;
use crate::pulse::{Pulse, Seat};

/// What a connection holds in each direction, in bytes.
const PIPE: usize = 256 << 10;
/// How long bytes are under way at most, in milliseconds, unless the link is slowed.
const DELAY: u64 = 6;

/// The network. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Inner>>);

struct Inner {
    pulse: Arc<Pulse>,
    chance: Chance,
    listeners: BTreeMap<String, Listener>,
    pairs: BTreeMap<u64, Pair>,
    opened: u64,
    /// Names under which nobody answers, not even with an error.
    dark: BTreeSet<String>,
    /// Links through which nothing comes.
    cut: BTreeSet<(Seat, Seat)>,
    /// Links on which bytes take that much longer.
    slowed: BTreeMap<(Seat, Seat), u64>,
}

struct Listener {
    seat: Seat,
    incoming: mpsc::UnboundedSender<io::Result<End>>,
}

/// A connection: who opened it, who accepted it, and what is on its way from each.
struct Pair {
    seats: [Seat; 2],
    lanes: [Lane; 2],
    /// Died without a word.
    silent: Option<Seat>,
}

#[derive(Default)]
struct Lane {
    segments: VecDeque<(u64, VecDeque<u8>)>,
    size: usize,
    /// Nothing is written any more: its reader hears of the end.
    ended: bool,
    /// Nobody reads any more.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
pub(crate) struct End {
    net: Net,
    pair: u64,
    side: usize,
}

/// What a node opens connections with.
pub(crate) struct Dialler {
    net: Net,
    seat: Seat,
}

impl Net {
    pub(crate) fn new(pulse: Arc<Pulse>, chance: Chance) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            pulse,
            chance,
            listeners: BTreeMap::new(),
            pairs: BTreeMap::new(),
            opened: 0,
            dark: BTreeSet::new(),
            cut: BTreeSet::new(),
            slowed: BTreeMap::new(),
        })))
    }

    /// The node at `seat` is reached under `name` from now on.
    pub(crate) fn listen(&self, seat: Seat, name: &str) -> mpsc::UnboundedReceiver<io::Result<End>> {
        let (incoming, accepted) = mpsc::unbounded_channel();
        let mut inner = self.0.lock();
        inner.dark.remove(name);
        inner.listeners.insert(name.to_owned(), Listener { seat, incoming });
        accepted
    }

    pub(crate) fn dialler(&self, seat: Seat) -> Arc<Dialler> {
        Arc::new(Dialler {
            net: self.clone(),
            seat,
        })
    }

    /// Wakes whoever has something to read by now.
    pub(crate) fn advance(&self) {
        let inner = &mut *self.0.lock();
        let now = inner.pulse.now();
        for pair in inner.pairs.values_mut() {
            if inner.cut.contains(&link(pair.seats)) {
                continue;
            }
            for side in [0, 1] {
                let lane = &mut pair.lanes[side];
                let due = lane.segments.front().map_or(lane.ended, |(due, _)| *due <= now);
                if due && let Some(reader) = lane.reader.take() {
                    inner.pulse.stir(pair.seats[1 - side]);
                    reader.wake();
                }
            }
        }
        inner
            .pairs
            .retain(|_, pair| !(pair.lanes[0].deaf && pair.lanes[1].deaf));
    }

    pub(crate) fn cut(&self, a: Seat, b: Seat) {
        self.0.lock().cut.insert(link([a, b]));
    }

    pub(crate) fn slow(&self, a: Seat, b: Seat, by: u64) {
        self.0.lock().slowed.insert(link([a, b]), by);
    }

    /// The link is as it should be.
    pub(crate) fn mend(&self, a: Seat, b: Seat) {
        let mut inner = self.0.lock();
        inner.cut.remove(&link([a, b]));
        inner.slowed.remove(&link([a, b]));
    }

    /// All links are as they should be.
    pub(crate) fn mend_all(&self) {
        let mut inner = self.0.lock();
        inner.cut.clear();
        inner.slowed.clear();
    }

    /// Breaks the connections between two nodes; new ones can be opened.
    pub(crate) fn sever(&self, a: Seat, b: Seat) {
        self.0.lock().end(|pair| link(pair.seats) == link([a, b]), |_| true);
    }

    /// The node at `seat` is no more. `silently`: its machine is gone, nobody is told.
    pub(crate) fn bury(&self, seat: Seat, silently: bool) {
        let inner = &mut *self.0.lock();
        let names = inner.listeners.extract_if(.., |_, listener| listener.seat == seat);
        let names: Vec<String> = names.map(|(name, _)| name).collect();
        if silently {
            inner.dark.extend(names);
            for pair in inner.pairs.values_mut().filter(|pair| pair.seats.contains(&seat)) {
                pair.silent = Some(seat);
                pair.lanes.iter_mut().for_each(Lane::vanish);
            }
        } else {
            inner.end(|pair| pair.seats.contains(&seat), |writer| writer != seat);
        }
    }
}

impl Inner {
    /// Ends the connections that `chosen` names; what those who `loses` says had written and was not read is lost.
    fn end(&mut self, chosen: impl Fn(&Pair) -> bool, loses: impl Fn(Seat) -> bool) {
        for pair in self.pairs.values_mut().filter(|pair| chosen(pair)) {
            for side in [0, 1] {
                let lane = &mut pair.lanes[side];
                if loses(pair.seats[side]) {
                    lane.segments.clear();
                    lane.size = 0;
                }
                lane.close();
                pair.seats.iter().for_each(|seat| self.pulse.stir(*seat));
            }
        }
    }
}

impl Lane {
    fn close(&mut self) {
        (self.ended, self.deaf) = (true, true);
        self.wake();
    }

    /// Nothing comes out any more, and nobody hears of it.
    fn vanish(&mut self) {
        self.segments.clear();
        self.size = PIPE;
        (self.reader, self.writer) = (None, None);
    }

    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.net.0.lock();
        let now = inner.pulse.now();
        let Some(pair) = inner.pairs.get_mut(&self.pair) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let writer = pair.seats[1 - self.side];
        let lane = &mut pair.lanes[1 - self.side];
        let passes = !inner.cut.contains(&link(pair.seats));
        let before = into.filled().len();
        while let Some((due, bytes)) = lane.segments.front_mut().filter(|_| passes && into.remaining() > 0) {
            if *due > now {
                break;
            }
            let (first, _) = bytes.as_slices();
            let take = first.len().min(into.remaining());
            into.put_slice(&first[..take]);
            bytes.drain(..take);
            lane.size -= take;
            if bytes.is_empty() {
                lane.segments.pop_front();
            }
        }
        if into.filled().len() > before {
            if let Some(waiting) = lane.writer.take() {
                inner.pulse.stir(writer);
                waiting.wake();
            }
            return Poll::Ready(Ok(()));
        }
        if passes && lane.ended && lane.segments.is_empty() {
            return Poll::Ready(Ok(()));
        }
        lane.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.net.0.lock();
        let now = inner.pulse.now();
        let Some(pair) = inner.pairs.get_mut(&self.pair) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let more = inner.slowed.get(&link(pair.seats)).copied().unwrap_or(0);
        let lane = &mut pair.lanes[self.side];
        if lane.deaf || lane.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if lane.size >= PIPE {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let due = now + more + inner.chance.within(1..=DELAY);
        let due = lane.segments.back().map_or(due, |(last, _)| due.max(*last));
        lane.size += bytes.len();
        lane.segments.push_back((due, bytes.iter().copied().collect()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.hang_up(self.pair, self.side, false);
        Poll::Ready(Ok(()))
    }
}

impl Net {
    fn hang_up(&self, pair: u64, side: usize, deaf: bool) {
        let inner = &mut *self.0.lock();
        let Some(pair) = inner.pairs.get_mut(&pair) else { return };
        if pair.silent == Some(pair.seats[side]) {
            return;
        }
        pair.lanes[side].ended = true;
        pair.lanes[1 - side].deaf |= deaf;
        // With a dead peer there is no second one to hang up.
        pair.lanes[side].deaf |= deaf && pair.silent.is_some();
        pair.lanes.iter_mut().for_each(Lane::wake);
        inner.pulse.stir(pair.seats[1 - side]);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.net.hang_up(self.pair, self.side, true);
    }
}

impl Connected for End {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[async_trait]
impl Connector for Dialler {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let delay = self.net.0.lock().chance.within(1..=DELAY);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        match self.net.open(self.seat, address) {
            Ok(Some(end)) => Ok(Box::new(end)),
            Ok(None) => std::future::pending().await,
            Err(refused) => Err(refused),
        }
    }
}

impl Net {
    /// A connection from `seat`; `None` when nothing comes of it, not even an error.
    fn open(&self, seat: Seat, address: &str) -> io::Result<Option<End>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut inner = self.0.lock();
        if inner.dark.contains(address) {
            return Ok(None);
        }
        let listener = inner.listeners.get(address).ok_or_else(refused)?;
        let (seats, incoming) = ([seat, listener.seat], listener.incoming.clone());
        if inner.cut.contains(&link(seats)) {
            return Ok(None);
        }
        inner.opened += 1;
        let id = inner.opened;
        let pair = Pair {
            seats,
            lanes: [Lane::default(), Lane::default()],
            silent: None,
        };
        inner.pairs.insert(id, pair);
        inner.pulse.stir(seats[1]);
        drop(inner); // an end that nobody takes hangs up
        let end = |side| End {
            net: self.clone(),
            pair: id,
            side,
        };
        incoming.send(Ok(end(1))).map_err(|_| refused())?;
        Ok(Some(end(0)))
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialler({})", self.seat)
    }
}

/// The link between two nodes, whoever opened the connection.
fn link([a, b]: [Seat; 2]) -> (Seat, Seat) {
    (a.min(b), a.max(b))
}
