//! The stores that the configuration names.

use std::sync::Arc;

use anyhow::{Context, Result};
use backends::etcd::Etcd;
use backends::postgres::Postgres;
use backends::redis::Redis;
use backends::sqlite::{self, Sqlite};
use store::{Members, Stores, memory};

use crate::config::{Config, Durable};

/// Durable stores only; what is soft is in memory. For commands beside a running server.
///
/// # Errors
/// When the database cannot be opened.
pub(crate) async fn durable(config: &Config) -> Result<Stores> {
    let memory = memory::stores();
    match config.store.durable {
        Durable::Sqlite => {
            let settings = sqlite_settings(config);
            let opened = Sqlite::open(&settings)
                .await
                .with_context(|| format!("opening {}", settings.path.display()))?;
            let db = Arc::new(opened);
            Ok(Stores {
                accounts: db.clone(),
                rosters: db.clone(),
                archive: db.clone(),
                items: db,
                ..memory
            })
        }
        Durable::Postgres => {
            let db = Arc::new(Postgres::connect(&config.store.postgres).context("store.postgres")?);
            db.check_schema()
                .await
                .context("the database's schema: run `dunlin migrate`")?;
            Ok(Stores {
                accounts: db.clone(),
                rosters: db.clone(),
                archive: db.clone(),
                items: db,
                ..memory
            })
        }
    }
}

/// All stores of a router.
///
/// # Errors
/// When one of them cannot be opened.
pub(crate) async fn all(config: &Config) -> Result<Stores> {
    let mut stores = durable(config).await?;
    if let Some(redis) = &config.store.redis {
        stores.presence = Arc::new(Redis::connect(redis).context("store.redis")?);
    }
    if let Some(etcd) = &config.store.etcd {
        let etcd = Etcd::connect(etcd).await.context("store.etcd")?;
        stores.members = Arc::new(etcd.members());
        stores.locations = Arc::new(etcd.locations());
    }
    Ok(stores)
}

/// Who is alive, of a configuration that names etcd. For commands beside a running cluster.
///
/// # Errors
/// When there is no cluster, or etcd cannot be reached.
pub(crate) async fn members(config: &Config) -> Result<Arc<dyn Members>> {
    let etcd = config.store.etcd.as_ref();
    let etcd = etcd.context("store.etcd: only a cluster has nodes; take the configuration of one of its routers")?;
    Ok(Arc::new(Etcd::connect(etcd).await.context("store.etcd")?.members()))
}

/// Brings the durable store's schema up to date.
///
/// # Errors
/// When that fails.
pub(crate) async fn migrate(config: &Config) -> Result<()> {
    match config.store.durable {
        Durable::Sqlite => durable(config).await.map(drop),
        Durable::Postgres => {
            let postgres = Postgres::connect(&config.store.postgres).context("store.postgres")?;
            postgres.migrate().await.map(drop).context("migrating")
        }
    }
}

/// The embedded database lies in the data folder unless its path is absolute.
fn sqlite_settings(config: &Config) -> sqlite::Config {
    let settings = config.store.sqlite.clone();
    sqlite::Config {
        path: config.data.join(&settings.path),
        ..settings
    }
}
