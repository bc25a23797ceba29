//! A client's connection, with or without TLS, read and written by polling so that an idle one holds no buffer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Read at once, in bytes: the text of one TLS record.
const READ: usize = 16 << 10;

thread_local! {
    /// Lent to whichever connection is being read on this thread; never held across a wait.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection to a client.
#[derive(Debug)]
pub(crate) enum Socket<T> {
    Plain(T),
    Tls(Box<TlsStream<T>>),
    /// Being changed from the first to the second, or closed.
    Gone,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    /// Reads once and hands the bytes over; none at the end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(self.poll_read(cx, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Writes some of `bytes`.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = match self {
            Self::Plain(io) => ready!(Pin::new(io).poll_write(cx, bytes))?,
            Self::Tls(io) => ready!(Pin::new(io.as_mut()).poll_write(cx, bytes))?,
            Self::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if sent == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(sent))
        }
    }

    /// Sees that everything sent has left for the network.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Ends our direction.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io.as_mut()).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
