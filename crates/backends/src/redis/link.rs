//! The connection to one Redis or to a Redis Cluster; both reconnect by themselves.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{Client, ConnectionInfo, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError};
use store::{Error, Result};
use tokio::sync::OnceCell;

use super::config::Config;

/// Where commands go.
pub(super) enum Link {
    Single {
        client: Box<Client>,
        manager: Box<ConnectionManagerConfig>,
        connection: OnceCell<Box<ConnectionManager>>,
    },
    Cluster {
        client: Box<ClusterClient>,
        connection: OnceCell<ClusterConnection>,
    },
}

impl Link {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let nodes = config
            .urls
            .iter()
            .map(|url| node(config, url.expose()))
            .collect::<Result<Vec<_>>>()?;
        if config.cluster {
            let client = builder(config, nodes).build().map_err(|_| malformed())?;
            return Ok(Self::Cluster {
                client: Box::new(client),
                connection: OnceCell::new(),
            });
        }
        let [node] = <[_; 1]>::try_from(nodes).map_err(|_| Error::Corrupt("one Redis has one URL".into()))?;
        let client = Client::open(node).map_err(|_| malformed())?;
        let manager = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
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

fn node(config: &Config, url: &str) -> Result<ConnectionInfo> {
    let node = url.into_connection_info().map_err(|_| malformed())?;
    let mut login = node.redis_settings().clone();
    if let Some(user) = &config.user {
        login = login.set_username(user);
    }
    if let Some(password) = &config.password {
        login = login.set_password(password.expose());
    }
    Ok(node.set_redis_settings(login))
}

/// The driver's own message may quote the URL, and with it a password.
fn malformed() -> Error {
    Error::Corrupt("the URL of Redis is malformed".into())
}

fn away(error: RedisError) -> Error {
    Error::Unavailable(Box::new(error))
}
