//! The writing side of a connection: how much of the output has left, and since when nothing does.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::shared::now;
use crate::socket::Socket;

/// Output buffers are kept up to this capacity while there is nothing to write.
const KEPT: usize = 1 << 10;

/// A socket with what is known of its writing side.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    pub(crate) socket: Socket<T>,
    /// Something was sent that may not have left yet.
    unflushed: bool,
    /// When the client will have taken nothing for too long.
    stalled_until: Option<Instant>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(crate) fn new(socket: Socket<T>) -> Self {
        Self {
            socket,
            unflushed: false,
            stalled_until: None,
        }
    }

    /// Writes `output`, taking out what was sent; ready when all has left. `sent` counts the bytes.
    pub(crate) fn poll_write(
        &mut self,
        output: &mut Vec<u8>,
        patience: Duration,
        sent: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if output.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        let mut taken = 0;
        let outcome = self.poll_send_all(output, &mut taken, cx);
        output.drain(..taken);
        *sent += taken as u64;
        match &outcome {
            Poll::Pending if taken == 0 && self.stalled_until.is_some() => {}
            Poll::Pending => self.stalled_until = Some(now() + patience),
            Poll::Ready(_) => self.rest(output),
        }
        outcome
    }

    /// When to give the client up, while it takes nothing.
    pub(crate) fn stalled_until(&self) -> Option<Instant> {
        self.stalled_until
    }

    fn poll_send_all(&mut self, output: &[u8], taken: &mut usize, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while *taken < output.len() {
            self.unflushed = true;
            *taken += ready!(self.socket.poll_send(cx, &output[*taken..]))?;
        }
        self.socket.poll_flush(cx)
    }

    /// Everything has left: an idle session holds no more than it must.
    fn rest(&mut self, output: &mut Vec<u8>) {
        self.unflushed = false;
        self.stalled_until = None;
        if output.is_empty() && output.capacity() > KEPT {
            *output = Vec::new();
        }
    }
}
