//! The first frame of either side: who speaks, which life of it, which protocol.

use tonic::Status;
use topology::{Epoch, LiveNodes, NodeId, Snapshot, Verdict};

use crate::wire::{PROTOCOL, pb};

/// Who this process is to its peers. A router's life is followed through the snapshots from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its node id.
    pub id: NodeId,
    /// Its life.
    pub epoch: Epoch,
    /// Release of its software.
    pub release: String,
}

impl Identity {
    /// This node in the life that `snapshot` tells of: a node that was fenced and joined again has another one. While it has none
    /// it goes by the last one it had, which nobody takes for living.
    pub(super) fn in_life(&self, snapshot: &Snapshot) -> Self {
        let epoch = snapshot.member(&self.id).map_or(self.epoch, |member| member.epoch);
        Self { epoch, ..self.clone() }
    }

    /// The greeting, with the revision of the newest slot table known.
    pub(super) fn hello(&self, table: u64) -> pb::Hello {
        let (major, minor) = PROTOCOL;
        let (node, release) = (self.id.to_string(), self.release.clone());
        pb::Hello {
            node,
            epoch: self.epoch.0,
            major,
            minor,
            release,
            table,
        }
    }
}

/// What a greeting tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) who: Identity,
    /// The minor version of the protocol that it speaks.
    pub(super) minor: u32,
}

/// Who greets, if the protocol is ours.
pub(super) fn greeted(hello: Option<pb::Hello>) -> Result<Greeting, Status> {
    let hello = hello.ok_or_else(|| Status::invalid_argument("the first frame is not a hello"))?;
    speaks(hello.major)?;
    if hello.node.is_empty() || hello.node.len() > 255 {
        return Err(Status::invalid_argument("node ids have 1 to 255 bytes"));
    }
    let who = Identity {
        id: hello.node.as_str().into(),
        epoch: Epoch(hello.epoch),
        release: hello.release,
    };
    Ok(Greeting {
        who,
        minor: hello.minor,
    })
}

/// Refuses another major version of the protocol.
pub(super) fn speaks(major: u32) -> Result<(), Status> {
    let ours = PROTOCOL.0;
    if major == ours {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "link protocol version {major} does not work with version {ours}"
    )))
}

/// Refuses whom the node that was meant is not.
pub(super) fn is_meant(found: &Identity, id: &NodeId, epoch: Epoch) -> Result<(), Status> {
    if (&found.id, found.epoch) == (id, epoch) {
        return Ok(());
    }
    Err(Status::unavailable(format!(
        "reached {} in epoch {}, wanted {id} in {}",
        found.id, found.epoch.0, epoch.0
    )))
}

/// Judges the life that `identity` claims. `None`: this node must catch up first.
pub(super) fn lives(identity: &Identity, live: &LiveNodes) -> Option<Result<(), Status>> {
    match live.judge(&identity.id, identity.epoch) {
        Verdict::Live => Some(Ok(())),
        Verdict::Dead => Some(Err(Status::unauthenticated(
            "this life of the node is over, join again",
        ))),
        Verdict::Ahead => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn greetings_are_checked() {
        let me = Identity {
            id: "edge-1".into(),
            epoch: Epoch(3),
            release: "0.1.0".into(),
        };
        let hello = me.hello(9);
        assert_eq!(greeted(Some(hello.clone())).unwrap().who, me);
        let check = |hello, want| assert_eq!(greeted(hello).unwrap_err().code(), want);
        check(None, Code::InvalidArgument);
        check(
            Some(pb::Hello {
                major: 2,
                ..hello.clone()
            }),
            Code::FailedPrecondition,
        );
        check(
            Some(pb::Hello {
                node: String::new(),
                ..hello.clone()
            }),
            Code::InvalidArgument,
        );
        check(
            Some(pb::Hello {
                node: "x".repeat(256),
                ..hello
            }),
            Code::InvalidArgument,
        );
    }
}
