//! `dunlin node`: the cluster's nodes, beside the cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use store::{Error, Members};
use tokio::sync::watch;
use topology::{Member, NodeId, Role, Snapshot};

use crate::cli::Node;
use crate::{config, stores};

/// How often progress is shown.
const SAY: Duration = Duration::from_secs(1);
/// How often a node is asked that changes its record at the same time.
const TRIES: usize = 5;

/// Runs one `dunlin node` command.
///
/// # Errors
/// When it cannot be done; the message says why.
pub(crate) async fn run(command: Node) -> Result<()> {
    match command {
        Node::List { file } => {
            let members = open(file.config.as_deref()).await?;
            let snapshot = members.watch().await.context("store.etcd")?.borrow().clone();
            print!("{}", table(&snapshot));
        }
        Node::Drain { id, wait, file } => {
            let members = open(file.config.as_deref()).await?;
            let snapshots = members.watch().await.context("store.etcd")?;
            let member = candidate(&snapshots.borrow(), &NodeId::from(id.as_str()))?;
            ask(&*members, &member.record.id).await?;
            println!("{id} was asked to drain");
            if wait {
                follow(snapshots, &member).await?;
                println!("{id} has left");
            }
        }
    }
    Ok(())
}

async fn open(path: Option<&Path>) -> Result<Arc<dyn Members>> {
    stores::members(&config::load(path)?).await
}

async fn ask(members: &dyn Members, id: &NodeId) -> Result<()> {
    for _ in 0..TRIES {
        match members.drain(id).await {
            Err(Error::Conflict) => {}
            asked => {
                ensure!(asked?, "{id} has just left");
                return Ok(());
            }
        }
    }
    bail!("{id} changes what it tells of itself all the time: try again")
}

/// The node that is to drain, if the cluster can do without.
fn candidate(snapshot: &Snapshot, id: &NodeId) -> Result<Member> {
    let Some(member) = snapshot.member(id) else {
        let known: Vec<_> = snapshot
            .members
            .iter()
            .map(|member| member.record.id.to_string())
            .collect();
        bail!("there is no node {id}; there are {}", known.join(", "));
    };
    let remains = |other: &Member| other.record.id != *id && !is_draining(other);
    ensure!(
        member.record.role == Role::Edge || snapshot.of_role(Role::Router).any(remains),
        "{id} is the last router: nobody could take its slots (stop it with SIGTERM)"
    );
    Ok(member.clone())
}

/// Waits until this life of the node is over; says each second how far it is.
async fn follow(mut snapshots: watch::Receiver<Snapshot>, member: &Member) -> Result<()> {
    let is_over = |snapshot: &Snapshot| {
        let now = snapshot.member(&member.record.id);
        now.is_none_or(|now| now.epoch != member.epoch)
    };
    let told = snapshots.clone();
    let mut each = tokio::time::interval(SAY);
    each.tick().await;
    loop {
        tokio::select! {
            over = snapshots.wait_for(is_over) => {
                over.context("watching the cluster")?;
                return Ok(());
            }
            _ = each.tick() => {
                let left = slots(&told.borrow(), member);
                match left {
                    Some(left) => println!("{left} slots left"),
                    None => println!("closing its sessions (`dunlin_edge_draining` says how many are left)"),
                }
            }
        }
    }
}

fn is_draining(member: &Member) -> bool {
    member.record.draining || (member.record.role == Role::Router && member.record.weight == 0)
}

/// How many slots it has, if it is a router.
fn slots(snapshot: &Snapshot, member: &Member) -> Option<usize> {
    let of = || snapshot.table.slots_of(&member.record.id, member.epoch).len();
    (member.record.role == Role::Router).then(of)
}

/// One line for each node, under a heading.
fn table(snapshot: &Snapshot) -> String {
    let heading = ["ID", "ROLE", "EPOCH", "STATE", "SLOTS", "VERSION", "ADDRESS"].map(str::to_owned);
    let row = |member: &Member| {
        let record = &member.record;
        let role = if record.role == Role::Edge { "edge" } else { "router" };
        let state = if is_draining(member) { "draining" } else { "live" };
        let slots = slots(snapshot, member).map_or("-".to_owned(), |slots| slots.to_string());
        let address = if record.address.is_empty() {
            "-"
        } else {
            &record.address
        };
        [
            &*record.id.0,
            role,
            &member.epoch.0.to_string(),
            state,
            &slots,
            &record.version,
            address,
        ]
        .map(str::to_owned)
    };
    let rows: Vec<_> = std::iter::once(heading)
        .chain(snapshot.members.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use topology::{Epoch, NodeRecord, SlotTable};

    use super::*;

    fn member(id: &str, role: Role, epoch: u64, draining: bool) -> Member {
        let address = if role == Role::Router { "10.0.0.1:7000" } else { "" };
        let record = NodeRecord {
            id: id.into(),
            role,
            address: address.into(),
            weight: 100,
            version: "0.1.0".into(),
            protocol: 1,
            draining,
        };
        Member {
            record,
            epoch: Epoch(epoch),
        }
    }

    fn snapshot(draining: bool) -> Snapshot {
        let routers = [("router-1".into(), Epoch(7), 100)];
        Snapshot {
            revision: 9,
            members: vec![
                member("edge-1", Role::Edge, 12, true),
                member("router-1", Role::Router, 7, false),
                member("router-2", Role::Router, 8, draining),
            ],
            table: SlotTable::empty().next(&routers, 0).unwrap(),
        }
    }

    #[test]
    fn nodes_are_listed() {
        let expected = "\
ID        ROLE    EPOCH  STATE     SLOTS  VERSION  ADDRESS
edge-1    edge    12     draining  -      0.1.0    -
router-1  router  7      live      4096   0.1.0    10.0.0.1:7000
router-2  router  8      live      0      0.1.0    10.0.0.1:7000
";
        assert_eq!(table(&snapshot(false)), expected);
    }

    #[test]
    fn the_last_router_stays() {
        let check = |id: &str, draining, fits| {
            let found = candidate(&snapshot(draining), &id.into());
            assert_eq!(found.is_ok(), fits, "{id}: {found:?}");
        };
        check("router-1", false, true);
        check("router-1", true, false);
        check("edge-1", true, true);
        check("edge-2", false, false);
    }
}
