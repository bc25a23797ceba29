//! A small XMPP client for tests: any byte stream below, whole elements in and out, stream management counted (XEP-0198).

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use xml::{Dialect, Element, Event, Limits, Reader};

/// Stream management (XEP-0198).
const SM: &str = "urn:xmpp:sm:3";
/// What SASL2 brings (XEP-0388, XEP-0386, XEP-0484).
const SASL2: &str = "urn:xmpp:sasl:2";
const BIND2: &str = "urn:xmpp:bind:0";
const FAST: &str = "urn:xmpp:fast:0";
/// How long a client waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How much a pipe to a server in the process holds, in bytes.
pub const PIPE: usize = 64 << 10;
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

/// What a client talks over: TCP, or a pipe within the process.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to a server.
pub struct Client {
    input: ReadHalf<Box<dyn Io>>,
    output: WriteHalf<Box<dyn Io>>,
    reader: Reader,
    queue: Queue,
    /// Once stream management has begun.
    resumption: Option<Resumption>,
    /// What the last success under SASL2 said.
    address: Option<String>,
    token: Option<String>,
}

/// What is yet to be written.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Whether a layer below may hold back some of what was written.
    unflushed: bool,
}

/// What a client needs to resume its session (XEP-0198, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// SM-ID; empty when the session cannot be resumed.
    pub id: String,
    /// How many stanzas it has read since stream management began.
    pub h: u32,
}

impl Resumption {
    /// What `<enabled/>` says of it.
    fn of(enabled: &Element) -> Self {
        let id = enabled.attribute("id").unwrap_or_default().to_owned();
        Self { id, h: 0 }
    }
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The server's stream header.
    Open(xml::Open),
    /// An element.
    Element(Element),
    /// The end: of the stream or of the connection.
    End,
}

impl Client {
    /// Connects without a word.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Self::over(socket))
    }

    /// A client on a connection that is there.
    pub fn over(socket: impl Io + 'static) -> Self {
        let limits = Limits {
            stanza_bytes: 16 << 20,
            elements: 1 << 20,
            ..Limits::default()
        };
        let (input, output) = tokio::io::split(Box::new(socket) as Box<dyn Io>);
        Self {
            input,
            output,
            reader: Reader::new(limits),
            queue: Queue::default(),
            resumption: None,
            address: None,
            token: None,
        }
    }

    /// As one that speaks as an external component: what it reads looks as if it were of `jabber:client`.
    #[must_use]
    pub fn of_component(self) -> Self {
        Self {
            reader: self.reader.of_dialect(Dialect::Component),
            ..self
        }
    }

    /// Opens a component's stream (XEP-0114, 3). Returns the stream's id; `None` when the server has none for it, and says why next.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn open_as_component(&mut self, domain: &str) -> Result<Option<String>> {
        let content = Dialect::Component.content_ns();
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
        );
        self.write(header.as_bytes()).await?;
        match self.see().await? {
            Seen::Open(open) if open.attribute("from") == Some(domain) => Ok(open.attribute("id").map(str::to_owned)),
            Seen::Open(_) => Ok(None),
            other => bail!("expected a stream header, saw {other:?}"),
        }
    }

    /// Opens a stream and reads the server's header and features.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn open(&mut self, domain: &str) -> Result<Element> {
        self.reader.restart();
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        self.write(header.as_bytes()).await?;
        match self.see().await? {
            Seen::Open(_) => {}
            other => bail!("expected a stream header, saw {other:?}"),
        }
        self.element().await
    }

    /// Opens a stream, logs in with PLAIN and binds `resource`. Returns the full address.
    ///
    /// # Errors
    /// When something else comes than success.
    pub async fn log_in(&mut self, user: &str, domain: &str, password: &str, resource: &str) -> Result<String> {
        self.authenticate(user, domain, password).await?;
        self.bind(resource).await
    }

    /// Binds `resource` on an authenticated stream. Returns the full address.
    ///
    /// # Errors
    /// When something else comes than success.
    pub async fn bind(&mut self, resource: &str) -> Result<String> {
        let bind = format!("<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>");
        self.write(bind.as_bytes()).await?;
        let answer = self.element().await?;
        let jid = answer
            .child(BIND, "bind")
            .and_then(|bind| bind.child(BIND, "jid"))
            .map(Element::content);
        jid.with_context(|| format!("expected a bound address, saw {answer}"))
    }

    /// Opens a stream, logs in with PLAIN and asks to go on with another client's session. The answer is left to be read.
    ///
    /// # Errors
    /// When something else comes than success.
    pub async fn resume(&mut self, user: &str, domain: &str, password: &str, resumption: Resumption) -> Result<()> {
        self.authenticate(user, domain, password).await?;
        self.ask_to_resume(resumption).await
    }

    /// Asks, on an authenticated stream, to go on with another client's session. The answer is left to be read.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn ask_to_resume(&mut self, resumption: Resumption) -> Result<()> {
        let Resumption { id, h } = &resumption;
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>");
        self.resumption = Some(resumption);
        self.write(resume.as_bytes()).await
    }

    /// What another client needs to go on with this one's session.
    pub fn resumption(&self) -> Option<&Resumption> {
        self.resumption.as_ref()
    }

    /// The same, to be gone on with by this client.
    pub fn take_over(&mut self, resumption: Option<Resumption>) {
        self.resumption = resumption;
    }

    /// The address that the session has by SASL2 (XEP-0388), if it has one.
    pub fn address(&self) -> Option<&String> {
        self.address.as_ref()
    }

    /// The token that came with the last login (XEP-0484).
    pub fn token(&self) -> Option<&String> {
        self.token.as_ref()
    }

    /// Opens a stream, logs in with PLAIN and opens the next.
    async fn authenticate(&mut self, user: &str, domain: &str, password: &str) -> Result<()> {
        self.open(domain).await?;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
        self.write(
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>").as_bytes(),
        )
        .await?;
        let answer = self.element().await?;
        if answer.name() != "success" {
            bail!("expected success, saw {answer}");
        }
        self.open(domain).await.map(drop)
    }

    /// Sends an element.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, element: &Element) -> Result<()> {
        self.write(element.to_string().as_bytes()).await
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.queue(bytes);
        timeout(PATIENCE, push(&mut self.output, &mut self.queue))
            .await
            .context("the server reads nothing")?
            .context("writing")
    }

    /// Has bytes written while the next is waited for.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.queue.bytes.extend_from_slice(bytes);
        self.queue.unflushed = true;
    }

    /// The next element.
    ///
    /// # Errors
    /// When the stream ends, or nothing comes within [`PATIENCE`].
    pub async fn element(&mut self) -> Result<Element> {
        match self.see().await? {
            Seen::Element(element) => Ok(element),
            other => bail!("expected an element, saw {other:?}"),
        }
    }

    /// Whatever comes next.
    ///
    /// # Errors
    /// When nothing comes within [`PATIENCE`], or what comes is not XML.
    pub async fn see(&mut self) -> Result<Seen> {
        timeout(PATIENCE, self.see_whenever()).await.context("nothing came")?
    }

    /// Whatever comes next, however long it takes; what is queued is written meanwhile. Nothing is lost when this is dropped before it
    /// is done. Stanzas are counted, and the server's requests to say how many are answered (XEP-0198, 4), which nobody else sees.
    ///
    /// # Errors
    /// When what comes is not XML.
    pub async fn see_whenever(&mut self) -> Result<Seen> {
        loop {
            let seen = self.read().await?;
            let Seen::Element(element) = &seen else {
                return Ok(seen);
            };
            match (element.ns(), element.name()) {
                (SM, "r") => {
                    let h = self.resumption.as_ref().map_or(0, |resumption| resumption.h);
                    self.queue(format!("<a xmlns='{SM}' h='{h}'/>").as_bytes());
                    continue;
                }
                (SM, "enabled") => self.resumption = Some(Resumption::of(element)),
                (SASL2, "success") => self.succeeded(element),
                (xml::ns::CLIENT, _) => {
                    if let Some(resumption) = &mut self.resumption {
                        resumption.h = resumption.h.wrapping_add(1);
                    }
                }
                _ => {}
            }
            return Ok(seen);
        }
    }

    /// Closes the stream in good order and waits for the server's end.
    ///
    /// # Errors
    /// When the server does not end.
    pub async fn close(mut self) -> Result<()> {
        // The server may be gone already, which is an end as well.
        let _ = self.write(b"</stream:stream>").await;
        while self.see().await? != Seen::End {}
        Ok(())
    }

    /// A login under SASL2 is through, with all that was wished for.
    fn succeeded(&mut self, success: &Element) {
        let bound = success.child(BIND2, "bound");
        if success.child(SM, "resumed").is_none() {
            let enabled = bound.and_then(|bound| bound.child(SM, "enabled"));
            self.resumption = enabled.map(Resumption::of);
        }
        let identifier = success.child(SASL2, "authorization-identifier").map(Element::content);
        self.address = identifier.filter(|address| address.contains('/'));
        let token = success.child(FAST, "token").and_then(|token| token.attribute("token"));
        self.token = token.map(str::to_owned);
    }

    async fn read(&mut self) -> Result<Seen> {
        loop {
            while let Some(event) = self.reader.poll()? {
                match event {
                    Event::Open(open) => return Ok(Seen::Open(open)),
                    Event::Child(bytes) => {
                        let limits = Limits {
                            stanza_bytes: 16 << 20,
                            elements: 1 << 20,
                            ..Limits::default()
                        };
                        return Ok(Seen::Element(Element::parse(&bytes, xml::ns::CLIENT, &limits)?));
                    }
                    Event::Close => return Ok(Seen::End),
                    Event::Whitespace => {}
                }
            }
            let mut buffer = [0; 4096];
            tokio::select! {
                read = self.input.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return Ok(Seen::End),
                    Ok(count) => self.reader.receive(&buffer[..count]),
                },
                pushed = push(&mut self.output, &mut self.queue), if self.queue.unflushed => {
                    if pushed.is_err() {
                        // Nothing can be written any more, but something may have come before the end.
                        self.queue = Queue::default();
                    }
                }
            }
        }
    }
}

/// Writes what is queued; what is left when this is dropped before it is done stays queued.
async fn push(output: &mut WriteHalf<Box<dyn Io>>, queue: &mut Queue) -> std::io::Result<()> {
    while !queue.bytes.is_empty() {
        let count = output.write(&queue.bytes).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        queue.bytes.drain(..count);
    }
    output.flush().await?;
    queue.unflushed = false;
    Ok(())
}
