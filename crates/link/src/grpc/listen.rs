//! Accepts the connections of other nodes and serves gRPC on them, with our own hand on how their tasks run ([`super::calm`]).

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::transport::server::Connected;

use super::calm::Calmly;
use super::config::{Config, InvalidTls};
use super::connector::Connection;
use super::transport;

/// Serves `routes` on all connections that come, until `shutdown`; then no more are accepted, and this returns when all have ended.
///
/// # Errors
/// When keys or certificates cannot be used.
pub(super) async fn listen<C>(
    incoming: impl Stream<Item = io::Result<C>>,
    routes: Routes,
    config: &Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), InvalidTls>
where
    C: Connection + Connected + 'static,
{
    let listener = Listener {
        routes: routes.prepare(),
        server: transport::server(config),
        tls: transport::server_tls(config)?.map(TlsAcceptor::from),
        patience: config.connect_timeout,
        stop: CancellationToken::new(),
    };
    let (mut incoming, mut shutdown, connections) = (pin!(incoming), pin!(shutdown), TaskTracker::new());
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            connection = incoming.next() => match connection {
                Some(Ok(connection)) => drop(connections.spawn(listener.clone().serve(connection))),
                Some(Err(error)) => tracing::debug!(%error, "accepting a link"),
                None => break,
            },
        }
    }
    listener.stop.cancel();
    connections.close();
    connections.wait().await;
    Ok(())
}

#[derive(Clone)]
struct Listener {
    routes: Routes,
    server: http2::Builder<Calmly>,
    tls: Option<TlsAcceptor>,
    patience: Duration,
    stop: CancellationToken,
}

impl Listener {
    async fn serve<C: Connection + Connected + 'static>(self, connection: C) {
        let Some(tls) = self.tls.clone() else {
            return self.serve_on(connection).await;
        };
        let accepted = tokio::time::timeout(self.patience, tls.accept(connection));
        match accepted.await {
            Ok(Ok(connection)) => self.serve_on(connection).await,
            Ok(Err(error)) => tracing::debug!(%error, "a link's TLS handshake failed"),
            Err(_) => tracing::debug!("a link's TLS handshake took too long"),
        }
    }

    async fn serve_on<C: Connection + Connected + 'static>(self, connection: C) {
        let who = Arc::new(connection.connect_info());
        let Self {
            routes, server, stop, ..
        } = self;
        let service = service_fn(move |request| answer(routes.clone(), C::ConnectInfo::clone(&who), request));
        let mut serving = pin!(server.serve_connection(TokioIo::new(connection), service));
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a link broke");
        }
    }
}

/// Has the routes answer; they are told who asks.
async fn answer<I: Clone + Send + Sync + 'static>(
    mut routes: Routes,
    who: I,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(who);
    routes.call(request).await
}
