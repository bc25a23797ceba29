//! One connection to the server, in as little room as it takes: bytes are read through a buffer that all connections of a thread share,
//! and written without one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xml::{Element, Event, Limits, Reader};

/// How much is read at once.
const SCRATCH: usize = 16 << 10;
/// Largest stanza that is read; pages of an archive come as many.
const MOST: usize = 4 << 20;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// A connection.
pub struct Link {
    stream: Stream,
    reader: Reader,
    /// What is to be written, from `written` on.
    output: Vec<u8>,
    written: usize,
    /// Whether TLS may hold back some of what was written.
    unflushed: bool,
}

/// What a connection is made of.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Over a TCP connection.
    pub fn plain(socket: TcpStream) -> Self {
        Self::over(Stream::Plain(socket))
    }

    /// Over TLS, of which the handshake is done here.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn tls(socket: TcpStream, connector: &TlsConnector, name: ServerName<'static>) -> io::Result<Self> {
        let stream = connector.connect(name, socket).await?;
        Ok(Self::over(Stream::Tls(Box::new(stream))))
    }

    fn over(stream: Stream) -> Self {
        let limits = Limits {
            stanza_bytes: MOST,
            ..Limits::default()
        };
        Self {
            stream,
            reader: Reader::new(limits),
            output: Vec::new(),
            written: 0,
            unflushed: false,
        }
    }

    /// The socket, to begin TLS on it; `None` when it is TLS already.
    pub fn into_socket(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(_) => None,
        }
    }

    /// What is to be written: it goes out with the next [`Link::poll_turn`].
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// The next bytes begin a new stream.
    pub fn restart(&mut self) {
        self.reader.restart();
    }

    /// Writes what is to be written, and reads what has come, if `reads`. Ready when something was read, and how much; nothing when the
    /// connection is at its end.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        if !reads {
            return Poll::Pending;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.reader.receive(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }

    /// Ready when everything is written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.unflushed = true;
        }
        // Connections are many and mostly idle: none keeps a buffer.
        (self.output, self.written) = (Vec::new(), 0);
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What has come, one by one; `None` until more is read.
    ///
    /// # Errors
    /// When it is not XML as XMPP has it.
    pub fn event(&mut self) -> Result<Option<Event>, xml::Error> {
        self.reader.poll()
    }

    /// The next element, of whatever else comes nothing; what is to be written goes out meanwhile.
    ///
    /// # Errors
    /// When the stream or the connection ends before, or what comes is not XML.
    pub async fn element(&mut self) -> io::Result<Element> {
        loop {
            let event = self.event().map_err(io::Error::other)?;
            match event {
                Some(Event::Child(bytes)) => {
                    let element = Element::parse(&bytes, xml::ns::CLIENT, &Limits::UNLIMITED);
                    return element.map_err(io::Error::other);
                }
                Some(Event::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Some(Event::Open(_) | Event::Whitespace) => {}
                None => {
                    if poll_fn(|cx| self.poll_turn(cx, true)).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
