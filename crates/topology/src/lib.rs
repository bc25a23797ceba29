//! Who is home of what: slots, the slot table, node epochs and the fencing rule. Pure values.

mod codec;
mod fence;
mod member;
mod node;
mod rendezvous;
mod slot;
mod table;

pub use codec::InvalidTable;
pub use fence::{LiveNodes, Verdict};
pub use member::{Lease, Member, Snapshot};
pub use node::{Epoch, NodeId, NodeRecord, Role};
pub use slot::{SLOTS, Slot};
pub use table::{Home, SlotTable};
