//! Who is alive, as one snapshot.

use crate::{Epoch, LiveNodes, NodeId, NodeRecord, Role, SlotTable};

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it told of itself.
    pub record: NodeRecord,
    /// Its life.
    pub epoch: Epoch,
}

/// Permission to live on, to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

/// What everybody knows: the live members and the slot table, as one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Revision of the membership store this was read at; never falls.
    pub revision: u64,
    /// Live members in order of their names.
    pub members: Vec<Member>,
    /// The published slot table (the empty one before the first).
    pub table: SlotTable,
}

impl Snapshot {
    /// Nobody is known yet.
    pub fn empty() -> Self {
        Self {
            revision: 0,
            members: Vec::new(),
            table: SlotTable::empty(),
        }
    }

    /// The live nodes as a fence.
    pub fn live(&self) -> LiveNodes {
        LiveNodes::new(
            self.revision,
            self.members
                .iter()
                .map(|member| (member.record.id.clone(), member.epoch)),
        )
    }

    /// The live member named `id`.
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.record.id == *id)
    }

    /// The live members of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.record.role == role)
    }
}
