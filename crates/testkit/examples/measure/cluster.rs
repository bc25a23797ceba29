//! Edge, router and edge as processes of their own, with real databases, as `scripts/cluster` starts them: each client talks to
//! one that is connected to the other edge.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dunlin_testkit::cluster::{Cluster, Node};
use dunlin_testkit::settings::DOMAINS;

use crate::target::Target;
use crate::{SESSIONS, WARM_UP, measure, password};

/// Counted, but never reached.
const SETTINGS: &str = "log.filter = 'warn'
edge.rates.bytes = { per_second = 67108864, burst = 67108864 }
edge.rates.bytes_before = { per_second = 67108864, burst = 67108864 }
";

/// Measures it.
pub(crate) async fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let binary = PathBuf::from(std::env::var("DUNLIN").unwrap_or_else(|_| "target/release/dunlin".to_owned()));
    let cluster = Cluster::start_with(&root, &std::path::absolute(binary)?, 2, 1, SETTINGS)?;
    let users: Vec<(String, String)> = (0..SESSIONS + WARM_UP)
        .map(|at| (format!("u{at}@{}", DOMAINS[0]), password(at)))
        .collect();
    cluster.add_users(&users)?;
    measure(&target(&cluster.nodes("edges")?, &cluster.nodes("routers")?)?).await
}

fn target(edges: &[Node], routers: &[Node]) -> Result<Target> {
    let ([one, other], [router]) = (edges, routers) else {
        bail!("expected two edges and a router");
    };
    let processes = [one, router, other].map(|node| u32::try_from(node.pid));
    let addresses = [one, other].map(|edge| edge.c2s.context("an edge without c2s"));
    Ok(Target {
        kind: "edge + router + edge",
        domain: DOMAINS[0],
        processes: processes.into_iter().collect::<Result<_, _>>()?,
        addresses: addresses.into_iter().collect::<Result<_>>()?,
        tls: None,
    })
}
