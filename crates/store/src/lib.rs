//! What must be kept: ports (traits), records, the in-memory reference and the one suite for every back-end.

mod account;
mod archive;
mod by_slot;
mod error;
mod item;
mod location;
mod member;
mod presence;
mod roster;
mod secret;
mod words;

pub mod duration;
pub mod memory;
pub mod suite;

use std::sync::Arc;

pub use account::{Account, Accounts, HashName, Verifier};
pub use archive::{Append, Archive, Entry, EntryId, Filling, Page, PageRequest, SOUGHT};
pub use by_slot::BySlot;
pub use error::{Error, Result};
pub use item::{Item, Items, Key, Version};
pub use location::{Location, Locations};
pub use member::Members;
pub use presence::{Presence, PresenceRecord, available};
pub use roster::{Ask, Contact, REMOVED_KEPT, Roster, Rosters, Subscription};
pub use secret::Secret;
pub use words::{words, words_said};

/// One field per port, so that each may come from another back-end.
#[derive(Clone)]
pub struct Stores {
    /// User accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Rosters.
    pub rosters: Arc<dyn Rosters>,
    /// Append-only logs.
    pub archive: Arc<dyn Archive>,
    /// Small versioned values.
    pub items: Arc<dyn Items>,
    /// Last presence per session.
    pub presence: Arc<dyn Presence>,
    /// Session to edge.
    pub locations: Arc<dyn Locations>,
    /// Who is alive.
    pub members: Arc<dyn Members>,
}
