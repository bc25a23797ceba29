//! What was decided for a stanza.

use stanza::{SessionId, StanzaError};

/// What becomes of a stanza that arrived at an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On the way out: it travels on to its addressee, whose account decides.
    Undecided,
    /// Delivered to these sessions.
    Sessions(Vec<SessionId>),
    /// A message that nobody is there to take: kept for later if a module keeps it, else bounced.
    Nobody,
    /// The account itself deals with it. On the way in: IQs to the bare address, probes and subscription stanzas. On the way
    /// out: broadcast presence and subscription stanzas, which travel on as effects only.
    Handle,
    /// Nothing happens.
    Ignore,
    /// The sender is told so.
    Bounce(StanzaError),
}
