//! The connection to the master that sentinels name: looked up anew whenever it failed.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, FromRedisValue, Pipeline, RedisResult, TlsCertificates,
    TlsMode,
};
use tokio::sync::Mutex;

use super::config::Config;

/// The way to a master that may become another.
pub(super) struct Sentinel {
    client: Mutex<SentinelClient>,
    connection: Mutex<Option<MultiplexedConnection>>,
    timeout: Duration,
}

impl Sentinel {
    /// Of the master `name`, by the sentinels `nodes`.
    pub(super) fn new(
        config: &Config,
        name: &str,
        nodes: &[ConnectionInfo],
        certificates: Option<&TlsCertificates>,
    ) -> RedisResult<Self> {
        let addresses = nodes.iter().map(|node| node.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)?;
        if nodes
            .iter()
            .any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
        {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        if let Some(login) = nodes.first().map(ConnectionInfo::redis_settings) {
            if let Some(user) = login.username() {
                builder = builder.set_client_to_sentinel_username(user);
            }
            if let Some(password) = login.password() {
                builder = builder.set_client_to_sentinel_password(password);
            }
        }
        if let Some(user) = &config.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &config.password {
            builder = builder.set_client_to_redis_password(password.expose());
        }
        Ok(Self {
            client: Mutex::new(builder.build()?),
            connection: Mutex::default(),
            timeout: config.timeout,
        })
    }

    /// Sends all commands at once. A master that does not answer, or is none any more, is not asked again.
    pub(super) async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let answer = commands.query_async(&mut connection).await;
        if answer.is_err() {
            *self.connection.lock().await = None;
        }
        answer
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let mut client = self.client.lock().await;
        let made = client.get_async_connection_with_config(&settings).await?;
        Ok(connection.insert(made).clone())
    }
}
