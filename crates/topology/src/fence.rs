//! Readers fence: what comes from a dead life of a node is void (no write needed to invalidate it).

use std::collections::BTreeMap;

use crate::{Epoch, NodeId};

/// The nodes that live, each with its epoch: an immutable snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveNodes {
    /// Revision of the membership this was read at.
    pub revision: u64,
    nodes: BTreeMap<NodeId, Epoch>,
}

/// What a reader thinks of a record from (node, epoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node lives in that epoch.
    Live,
    /// The node is gone or lives in a later epoch: the record is void.
    Dead,
    /// The epoch is newer than this snapshot: the reader must catch up before it judges.
    Ahead,
}

impl LiveNodes {
    /// A snapshot at `revision`.
    pub fn new(revision: u64, nodes: impl IntoIterator<Item = (NodeId, Epoch)>) -> Self {
        Self {
            revision,
            nodes: nodes.into_iter().collect(),
        }
    }

    /// Judges a record written by `node` in `epoch`.
    pub fn judge(&self, node: &NodeId, epoch: Epoch) -> Verdict {
        if epoch.0 > self.revision {
            return Verdict::Ahead;
        }
        match self.nodes.get(node) {
            Some(live) if *live == epoch => Verdict::Live,
            _ => Verdict::Dead,
        }
    }

    /// The live nodes in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, Epoch)> {
        self.nodes.iter().map(|(id, epoch)| (id, *epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_judged_by_the_life_that_wrote_it() {
        let live = LiveNodes::new(10, [("edge-1".into(), Epoch(4)), ("edge-2".into(), Epoch(10))]);
        let table = [
            ("edge-1", 4, Verdict::Live),
            ("edge-1", 3, Verdict::Dead),   // an earlier life
            ("edge-1", 5, Verdict::Dead),   // never seen, though the snapshot would know
            ("edge-1", 11, Verdict::Ahead), // came after the snapshot
            ("edge-2", 10, Verdict::Live),
            ("edge-3", 9, Verdict::Dead), // left
            ("edge-3", 11, Verdict::Ahead),
        ];
        for (node, epoch, want) in table {
            assert_eq!(live.judge(&node.into(), Epoch(epoch)), want, "{node} in {epoch}");
        }
    }

    #[test]
    fn nodes_come_in_order_of_their_names() {
        let live = LiveNodes::new(3, [("b".into(), Epoch(1)), ("a".into(), Epoch(2))]);
        assert_eq!(
            live.iter().map(|(id, epoch)| (&*id.0, epoch.0)).collect::<Vec<_>>(),
            [("a", 2), ("b", 1)]
        );
    }
}
