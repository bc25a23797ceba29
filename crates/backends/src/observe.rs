//! What is measured of every call to a store: how long it took, and whether it failed.

use std::time::Instant;

use store::{Error, Result};

/// Every metric of this crate: its name, its kind, and what it tells an operator.
pub const METRICS: &[(&str, &str, &str)] = &[
    (
        "dunlin_store_call_seconds",
        "histogram",
        "How long calls to stores took, by `backend`, `port` and `call`",
    ),
    (
        "dunlin_store_commit_writes",
        "histogram",
        "How many writes shared a commit, by `backend`; near its bound the store is the bottleneck",
    ),
    (
        "dunlin_store_errors_total",
        "counter",
        "Calls to stores that failed, by `backend`, `port`, `call` and `kind`; `conflict` and `precondition` are answers, not faults",
    ),
    (
        "dunlin_store_watch_breaks_total",
        "counter",
        "Times the watch on membership broke and was begun anew, by `backend`",
    ),
];

/// Which adapter is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) backend: &'static str,
    pub(crate) port: &'static str,
}

impl At {
    /// Performs one call and records it in `dunlin_store_call_seconds` and, if it failed, in `dunlin_store_errors_total`.
    pub(crate) async fn call<T>(self, call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (Self { backend, port }, start) = (self, Instant::now());
        let answer = work.await;
        let labels = [("backend", backend), ("port", port), ("call", call)];
        metrics::histogram!("dunlin_store_call_seconds", &labels).record(start.elapsed().as_secs_f64());
        if let Err(error) = &answer {
            let labels = [
                ("backend", backend),
                ("port", port),
                ("call", call),
                ("kind", kind(error)),
            ];
            metrics::counter!("dunlin_store_errors_total", &labels).increment(1);
            if !matches!(error, Error::Conflict | Error::Precondition(_)) {
                tracing::debug!(backend, port, call, %error, "store call failed");
            }
        }
        answer
    }

    /// As [`call`](Self::call), but gives up after `limit`: then it is not known whether a write was done.
    #[cfg(any(feature = "postgres", feature = "redis", feature = "etcd"))]
    pub(crate) async fn call_within<T>(
        self,
        limit: std::time::Duration,
        call: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late = |_| Error::Unavailable(format!("no answer within {limit:?}").into());
        self.call(call, async { tokio::time::timeout(limit, work).await.map_err(late)? })
            .await
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Conflict => "conflict",
        Error::Precondition(_) => "precondition",
        Error::Unavailable(_) => "unavailable",
        Error::Corrupt(_) => "corrupt",
    }
}
