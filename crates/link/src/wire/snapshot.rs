//! Membership and slot table.

use ::topology::{Epoch, Member, NodeId, NodeRecord, Role, SlotTable, Snapshot};

use super::address::Malformed;
use super::pb;

pub(crate) fn snapshot_to(snapshot: &Snapshot) -> pb::Snapshot {
    let member = |member: &Member| pb::snapshot::Member {
        node: Some(node_to(&member.record)),
        epoch: member.epoch.0,
    };
    pb::Snapshot {
        revision: snapshot.revision,
        members: snapshot.members.iter().map(member).collect(),
        table: snapshot.table.encode().into(),
    }
}

pub(crate) fn snapshot_from(snapshot: pb::Snapshot) -> Result<Snapshot, Malformed> {
    let member = |member: pb::snapshot::Member| {
        let record = node_from(member.node.ok_or(Malformed("member"))?);
        Ok(Member {
            record,
            epoch: Epoch(member.epoch),
        })
    };
    let mut members = snapshot
        .members
        .into_iter()
        .map(member)
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    let table = SlotTable::decode(&snapshot.table).map_err(|_| Malformed("slot table"))?;
    Ok(Snapshot {
        revision: snapshot.revision,
        members,
        table,
    })
}

pub(crate) fn node_to(record: &NodeRecord) -> pb::Node {
    let role = match record.role {
        Role::Edge => pb::node::Role::Edge,
        Role::Router => pb::node::Role::Router,
    };
    pb::Node {
        id: record.id.to_string(),
        role: role.into(),
        address: record.address.clone(),
        weight: record.weight,
        version: record.version.clone(),
        protocol: record.protocol,
        draining: record.draining,
    }
}

pub(crate) fn node_from(node: pb::Node) -> NodeRecord {
    let role = match node.role() {
        pb::node::Role::Edge => Role::Edge,
        pb::node::Role::Router => Role::Router,
    };
    NodeRecord {
        id: NodeId::from(&*node.id),
        role,
        address: node.address,
        weight: node.weight,
        version: node.version,
        protocol: node.protocol,
        draining: node.draining,
    }
}
