//! How a connection to a router is opened when TCP is not meant: tests put pipes within the process in its place.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// What a link runs over.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Opens connections to routers.
#[async_trait]
pub trait Connector: fmt::Debug + Send + Sync {
    /// A connection to the router at `address`, as its record or the list of seeds names it.
    ///
    /// # Errors
    /// When nobody is there; the link tries again.
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>>;
}

/// A connector as tonic calls it.
pub(super) struct Dialled(pub(super) Arc<dyn Connector>);

impl Service<Uri> for Dialled {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = Arc::clone(&self.0);
        Box::pin(async move {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            connector.connect(&address).await.map(TokioIo::new)
        })
    }
}
