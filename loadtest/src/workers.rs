//! All workers of a run, wherever they are.

use std::io;
use std::time::{Duration, Instant};

use crate::accounting::Used;
use crate::board::Order;
use crate::ledger::Ledger;
use crate::remote::Remote;
use crate::tally::Pulse;
use crate::worker::Worker;

/// All workers of a run.
pub enum Workers {
    /// The one of this process.
    Here {
        /// `None` once it has ended.
        worker: Option<Worker>,
        /// How many threads it has.
        threads: u32,
        /// When the run began.
        epoch: Instant,
    },
    /// Those of other processes.
    There(Remote),
}

impl Workers {
    /// Time since the run began.
    pub fn now(&self) -> Duration {
        match self {
            Self::Here { epoch, .. } => epoch.elapsed(),
            Self::There(remote) => remote.epoch().elapsed(),
        }
    }

    /// How many threads of this process they have.
    pub fn threads(&self) -> u32 {
        match self {
            Self::Here { threads, .. } => *threads,
            Self::There(_) => 0,
        }
    }

    /// Tells all users.
    ///
    /// # Errors
    /// When no worker is left.
    pub async fn order(&mut self, order: Order) -> io::Result<()> {
        match self {
            Self::Here { worker, .. } => {
                worker.iter().for_each(|worker| worker.order(order));
                Ok(())
            }
            Self::There(remote) => remote.order(order).await,
        }
    }

    /// What happened since the last time.
    ///
    /// # Errors
    /// When no worker is left.
    pub async fn pulse(&mut self) -> io::Result<Pulse> {
        match self {
            Self::Here { worker, .. } => Ok(worker.as_ref().map(Worker::pulse).unwrap_or_default()),
            Self::There(remote) => remote.pulse().await,
        }
    }

    /// Ends all users, and brings what they know together.
    ///
    /// # Errors
    /// When that is lost.
    pub async fn finish(&mut self) -> io::Result<(Ledger, Pulse)> {
        self.order(Order::End).await?;
        match self {
            Self::Here { worker, .. } => {
                let Some(worker) = worker.take() else {
                    return Ok(Default::default());
                };
                let finish = tokio::task::spawn_blocking(move || worker.finish());
                finish.await.map_err(io::Error::other)?
            }
            Self::There(remote) => remote.finish().await,
        }
    }

    /// What those of other processes use there, as they said last.
    pub fn used(&self) -> Vec<Used> {
        match self {
            Self::Here { .. } => Vec::new(),
            Self::There(remote) => remote.used(),
        }
    }

    /// What the reader must know of them.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Here { .. } => Vec::new(),
            Self::There(remote) => remote.warnings().to_vec(),
        }
    }
}
