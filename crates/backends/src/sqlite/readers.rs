//! Those who read. To read by a key takes less time than to have another thread do it, so it is done where it is asked for; what may take
//! longer is done on threads that may be kept waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use store::{Error, Result};
use tokio::sync::{AcquireError, Semaphore};

use super::config::Config;
use super::connection::{Connection, is_too_long};

/// So many rows at most are read where they are asked for: some 100 µs of that thread. A usual roster, and a page of what was said, are.
const SHORT: usize = 128;

/// The connections that read.
pub(super) struct Readers {
    pool: Arc<Pool>,
    free: Arc<Semaphore>,
    /// Fewer than there are connections, so that what is short never waits until something long is done.
    free_for_long: Arc<Semaphore>,
}

impl Readers {
    /// Each is opened when it is first needed.
    pub(super) fn new(config: &Config) -> Self {
        let readers = config.readers.max(1) as usize;
        let pool = Pool {
            config: config.clone(),
            idle: Mutex::default(),
        };
        Self {
            pool: Arc::new(pool),
            free: Arc::new(Semaphore::new(readers)),
            free_for_long: Arc::new(Semaphore::new((readers - 1).max(1))),
        }
    }

    /// Reads what is likely to be short, here and now. When there are more than [`SHORT`] rows, or others hold the file, begins anew as
    /// [`long`](Self::long) does.
    pub(super) async fn short<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T> + Send + 'static,
    {
        match self.here(&read).await {
            Err(error) if is_too_long(&error) => self.long(read).await,
            answer => answer,
        }
    }

    async fn here<T>(&self, read: impl Fn(&Connection) -> Result<T>) -> Result<T> {
        let _permit = self.free.acquire().await.map_err(closed)?;
        self.pool.read(Duration::ZERO, SHORT, read)
    }

    /// Reads what may take long, on a thread that is there for that.
    pub(super) async fn long<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let long = self.free_for_long.clone().acquire_owned().await.map_err(closed)?;
        let permit = self.free.clone().acquire_owned().await.map_err(closed)?;
        let pool = self.pool.clone();
        let work = move || {
            let _until_done = (long, permit);
            pool.read(pool.config.busy_timeout, usize::MAX, read)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Error::Unavailable(Box::new(error)))?
    }
}

struct Pool {
    config: Config,
    /// Locked only while one is taken or given back.
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// Reads by a connection that nobody uses, or by a new one: there are as many as permits.
    fn read<T>(&self, wait: Duration, rows: usize, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Connection::reading(&self.config)?,
        };
        connection.bound(wait, rows)?;
        let answer = read(&connection);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        answer
    }
}

fn closed(error: AcquireError) -> Error {
    Error::Unavailable(Box::new(error))
}
