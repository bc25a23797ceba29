//! A network within the process: whoever listens under a name is reached by it.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use link::grpc::{Connection, Connector};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// How much a pipe holds, in bytes.
const PIPE: usize = 256 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;

/// Who listens.
#[derive(Debug, Default)]
pub struct Pipes {
    listeners: Mutex<HashMap<String, mpsc::Sender<io::Result<DuplexStream>>>>,
}

impl Pipes {
    /// Listens under `name`; whoever listened there before is not reached any more.
    pub fn listen(&self, name: &str) -> mpsc::Receiver<io::Result<DuplexStream>> {
        let (sender, incoming) = mpsc::channel(BACKLOG);
        self.listeners
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(name.to_owned(), sender);
        incoming
    }

    fn listener(&self, name: &str) -> Option<mpsc::Sender<io::Result<DuplexStream>>> {
        self.listeners
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(name)
            .cloned()
    }
}

#[async_trait]
impl Connector for Pipes {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.listener(address).ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        listener.send(Ok(theirs)).await.map_err(|_| refused())?;
        Ok(Box::new(ours))
    }
}
