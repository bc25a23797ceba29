//! Rosters (RFC 6121, 2 and 3).

use async_trait::async_trait;
use stanza::{Bare, Jid};

use crate::Result;

/// Subscription state (RFC 6121, 2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "values of the attribute")]
pub enum Subscription {
    #[default]
    None,
    To,
    From,
    Both,
}

/// Whether a request of ours is pending (RFC 6121, 2.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ask {
    /// No request is pending.
    #[default]
    None,
    /// `ask='subscribe'`: "pending out".
    Subscribe,
}

/// All that is known of one contact. A contact with `in_roster == false` is not shown to clients: it only holds a pending
/// inbound request ("None + Pending In", RFC 6121, A.1) or a pre-approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The contact's address; bare unless a client stored a full one.
    pub jid: Jid,
    /// The name the user gave.
    pub name: Option<String>,
    /// The groups the user put it in, without repetition.
    pub groups: Vec<String>,
    /// The subscription.
    pub subscription: Subscription,
    /// Whether our request is pending.
    pub ask: Ask,
    /// Whether the user approved in advance (RFC 6121, 3.4).
    pub approved: bool,
    /// The contact's pending request as canonical stanza bytes ("pending in"), to be shown at each login until answered.
    pub pending_in: Option<Vec<u8>>,
    /// Whether clients see it.
    pub in_roster: bool,
    /// Roster version at which this contact last changed; set by the store.
    pub version: u64,
}

/// A user's roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Counts changes, from 0 for the roster nobody has touched.
    pub version: u64,
    /// Contacts by address, in order.
    pub contacts: std::collections::BTreeMap<Jid, Contact>,
    /// Contacts removed and when (roster version), for versioned answers; stores may forget the oldest.
    pub removed: Vec<(Jid, u64)>,
    /// Versions below this cannot be answered by a difference any more.
    pub oldest: u64,
}

/// Rosters: conditional writes by version.
#[async_trait]
pub trait Rosters: Send + Sync {
    /// The roster; the empty one at version 0 when nothing is stored.
    async fn load(&self, owner: &Bare) -> Result<Roster>;
    /// Puts (inserts or replaces) and removes contacts if the roster is at version `seen`; returns the new version,
    /// `seen + 1`, which every contact put then bears.
    ///
    /// # Errors
    /// `Conflict` when the roster has moved on.
    async fn change(&self, owner: &Bare, seen: u64, put: &[Contact], remove: &[Jid]) -> Result<u64>;
}

impl Subscription {
    /// The attribute's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
        }
    }

    /// Whether the contact gets our presence.
    pub fn is_from(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }

    /// Whether we get the contact's presence.
    pub fn is_to(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }
}

impl Contact {
    /// A contact about whom nothing is known yet.
    pub fn new(jid: Jid) -> Self {
        Self {
            jid,
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: Ask::None,
            approved: false,
            pending_in: None,
            in_roster: false,
            version: 0,
        }
    }
}

/// How many removed contacts a roster remembers; older ones are forgotten and raise [`Roster::oldest`].
pub const REMOVED_KEPT: usize = 256;

impl Roster {
    /// What [`Rosters::change`] does to a roster at the version its caller has seen: the reference for every store.
    pub fn apply(&mut self, put: &[Contact], remove: &[Jid]) {
        self.version += 1;
        for contact in put {
            self.removed.retain(|(jid, _)| *jid != contact.jid);
            self.contacts.insert(
                contact.jid.clone(),
                Contact {
                    version: self.version,
                    ..contact.clone()
                },
            );
        }
        for jid in remove {
            if self.contacts.remove(jid).is_some() {
                self.removed.push((jid.clone(), self.version));
            }
        }
        self.forget();
    }

    /// Puts the removed contacts in order (by version, then address) and forgets the oldest beyond [`REMOVED_KEPT`].
    pub fn forget(&mut self) {
        self.removed.sort_by(|(a, at_a), (b, at_b)| (at_a, a).cmp(&(at_b, b)));
        let excess = self.removed.len().saturating_sub(REMOVED_KEPT);
        if let Some((_, version)) = self.removed.drain(..excess).next_back() {
            self.oldest = self.oldest.max(version);
        }
    }
}
