//! The connection to one Redis, to the master that sentinels name, or to a Redis Cluster; all reconnect by themselves.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, ClientTlsConfig, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, TlsCertificates,
};
use store::{Error, Result};
use tokio::sync::OnceCell;

use super::config::Config;
use super::sentinel::Sentinel;

/// Where commands go.
pub(super) enum Link {
    Single {
        client: Box<Client>,
        manager: Box<ConnectionManagerConfig>,
        connection: OnceCell<Box<ConnectionManager>>,
    },
    Sentinel(Box<Sentinel>),
    Cluster {
        client: Box<ClusterClient>,
        connection: OnceCell<ClusterConnection>,
    },
}

impl Link {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let certificates = certificates(config)?;
        let nodes = config
            .urls
            .iter()
            .map(|url| url.expose().into_connection_info().map_err(|_| malformed()))
            .collect::<Result<Vec<_>>>()?;
        if let Some(name) = &config.sentinel {
            let sentinel = Sentinel::new(config, name, &nodes, certificates.as_ref()).map_err(|_| malformed())?;
            return Ok(Self::Sentinel(Box::new(sentinel)));
        }
        let nodes: Vec<_> = nodes.into_iter().map(|node| log_in(config, node)).collect();
        if config.cluster {
            let mut builder = builder(config, nodes);
            if let Some(certificates) = certificates {
                builder = builder.certs(certificates);
            }
            let client = builder.build().map_err(|_| malformed())?;
            return Ok(Self::Cluster {
                client: Box::new(client),
                connection: OnceCell::new(),
            });
        }
        let [node] = <[_; 1]>::try_from(nodes).map_err(|_| Error::Corrupt("one Redis has one URL".into()))?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(node, certificates),
            None => Client::open(node),
        };
        let client = client.map_err(|error| Error::Corrupt(format!("certificates for Redis: {error}")))?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_number_of_retries(1) // more would end in a time-out that hides why it cannot connect
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_secs(1));
        Ok(Self::Single {
            client: Box::new(client),
            manager: Box::new(manager),
            connection: OnceCell::new(),
        })
    }

    /// Sends all commands at once and reads the answers that are not ignored.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let answer = match self {
            Self::Single {
                client,
                manager,
                connection,
            } => {
                let (client, manager) = (&**client, &**manager);
                let make =
                    async || ConnectionManager::new_lazy_with_config(client.clone(), manager.clone()).map(Box::new);
                let connection = connection.get_or_try_init(make).await.map_err(away)?;
                commands.query_async(&mut (**connection).clone()).await
            }
            Self::Sentinel(sentinel) => sentinel.ask(commands).await,
            Self::Cluster { client, connection } => {
                let connection = connection
                    .get_or_try_init(|| client.get_async_connection())
                    .await
                    .map_err(away)?;
                commands.query_async(&mut connection.clone()).await
            }
        };
        answer.map_err(away)
    }
}

fn builder(config: &Config, nodes: Vec<ConnectionInfo>) -> ClusterClientBuilder {
    ClusterClientBuilder::new(nodes)
        .connection_timeout(config.timeout)
        .response_timeout(config.timeout)
        .retries(5)
        .min_retry_wait(50)
        .max_retry_wait(500)
}

/// Certificates to check with and to show, when TLS is not that of the system.
fn certificates(config: &Config) -> Result<Option<TlsCertificates>> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| Error::Corrupt(format!("cannot read {}: {error}", path.display())))
    };
    let root_cert = config.ca.as_ref().map(read).transpose()?;
    let client_tls = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(certificate)?,
            client_key: read(key)?,
        }),
        (None, None) => None,
        _ => return Err(Error::Corrupt("certificate and key go together".into())),
    };
    let any = root_cert.is_some() || client_tls.is_some();
    Ok(any.then_some(TlsCertificates { client_tls, root_cert }))
}

fn log_in(config: &Config, node: ConnectionInfo) -> ConnectionInfo {
    let mut login = node.redis_settings().clone();
    if let Some(user) = &config.user {
        login = login.set_username(user);
    }
    if let Some(password) = &config.password {
        login = login.set_password(password.expose());
    }
    node.set_redis_settings(login)
}

/// The driver's own message may quote the URL, and with it a password.
fn malformed() -> Error {
    Error::Corrupt("the URL of Redis is malformed".into())
}

fn away(error: RedisError) -> Error {
    Error::Unavailable(Box::new(error))
}
