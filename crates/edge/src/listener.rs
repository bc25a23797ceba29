//! Sockets that clients and components connect to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// The first and the longest pause after the system had no more to give for a connection.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A bound socket and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    spoken: Spoken,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// XMPP of clients, in plain until they ask for TLS.
    Plain,
    /// XMPP of clients, in TLS from the first byte.
    Tls,
    /// XMPP of components, in plain.
    Component,
}

impl Spoken {
    /// What the listener is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "c2s",
            Self::Tls => "c2s_tls",
            Self::Component => "component",
        }
    }
}

impl Listener {
    /// Plain TCP with STARTTLS.
    pub fn starttls(socket: TcpListener) -> Self {
        Self {
            socket,
            spoken: Spoken::Plain,
        }
    }

    /// TLS from the first byte (XEP-0368).
    pub fn direct_tls(socket: TcpListener) -> Self {
        Self {
            socket,
            spoken: Spoken::Tls,
        }
    }

    /// Plain TCP for components (XEP-0114).
    pub fn component(socket: TcpListener) -> Self {
        Self {
            socket,
            spoken: Spoken::Component,
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hands every connection to `connected`; ends never.
    pub(crate) async fn accept(&self, keepalive: Duration, connected: impl Fn(TcpStream, SocketAddr, Spoken)) {
        let mut pause = PAUSES.0;
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    pause = PAUSES.0;
                    prepare(&stream, keepalive);
                    connected(stream, address, self.spoken);
                }
                Err(error) if is_of_connection(&error) => tracing::debug!(%error, "connection ended before it began"),
                Err(error) => {
                    tracing::warn!(%error, ?pause, "cannot accept connections");
                    metrics::counter!("dunlin_edge_accept_errors_total").increment(1);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

/// A connection that cannot be set up so still works.
fn prepare(stream: &TcpStream, keepalive: Duration) {
    let mut outcome = stream.set_nodelay(true);
    if !keepalive.is_zero() {
        let settings = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4);
        outcome = outcome.and(SockRef::from(stream).set_tcp_keepalive(&settings));
    }
    if let Err(error) = outcome {
        tracing::debug!(%error, "cannot set socket options");
    }
}

/// Errors that say nothing of the next connection; all others (such as no more file descriptors) will come again at once.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a peer is found out that is gone without a word: the system asks.
    #[tokio::test]
    async fn connections_are_probed_when_silent() {
        let listener = Listener::starttls(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let _client = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
        let keepalive = Duration::from_secs(120);
        let accepting = listener.accept(keepalive, |stream, _, _| sender.send(stream).unwrap());
        let stream = tokio::select! {
            stream = accepted.recv() => stream.unwrap(),
            () = accepting => unreachable!("accepts for ever"),
        };
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive / 4);
    }
}
