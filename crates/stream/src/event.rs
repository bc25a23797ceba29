//! What the machine asks of its shell.

use stanza::{
    Bare, Condition, EnableRequest, Grant, RegisterRequest, ResourceRequest, SaslFailure, SaslRequest, Stanza,
    StreamCondition,
};

/// What the machine asks of its shell. Output (`Stream::output`) that was made before an event is written before it is acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Begin the TLS handshake after writing all output; then call `Stream::secured`. Bytes read but not yet consumed
    /// have been dropped (RFC 6120, 5.4.3.3).
    StartTls,
    /// Ask a router; then call `Stream::sasl`. (`SaslRequest::Abort` needs no answer.)
    Sasl(SaslRequest),
    /// Ask a router; then call `Stream::registered`.
    Register(Box<RegisterRequest>),
    /// Ask the home; then call `Stream::bound`. The shell adds its session and peer facts.
    Bind {
        /// Who authenticated on this stream.
        account: Bare,
        /// The proof of it, from `SaslReply::Success`.
        grant: Grant,
        /// The resource asked for.
        resource: ResourceRequest,
    },
    /// Ask the home; then call `Stream::resumed`. The shell adds its session and peer facts.
    Resume {
        /// Who authenticated on this stream.
        account: Bare,
        /// The proof of it, from `SaslReply::Success`.
        grant: Grant,
        /// The former stream's SM-ID.
        id: String,
        /// The client's count of what it has handled.
        h: u32,
    },
    /// Ask the home; then call `Stream::enabled`. Nothing may be delivered meanwhile.
    Enable(EnableRequest),
    /// Whether somebody looks at the client (XEP-0352). It is active until it says otherwise.
    Active(bool),
    /// A stanza of the established session, for the home, with its number in the session's count. Its `from` is the
    /// session's full address; a component's is an address at its domain.
    Stanza(u64, Stanza),
    /// A stanza that needed no home to judge, with its number, and the answer to it, if there is one. The home gives the answer
    /// its place among the deliveries.
    Answered(u64, Option<Stanza>),
    /// A stanza was refused here with this error. Nothing is left to do but to count it.
    Refused(Condition),
    /// A SASL step failed here, before a router was asked. Nothing is left to do but to count it.
    Rejected(SaslFailure),
    /// The stream is over: write all output, close the connection. Nothing follows.
    Closed(Closed),
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides closed in good order.
    Clean,
    /// The connection went away.
    HungUp,
    /// The peer sent a stream error.
    PeerError,
    /// We sent a stream error.
    Error(StreamCondition),
    /// The peer did not answer in time.
    TimedOut,
}
