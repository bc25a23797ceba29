//! The server's side of SASL as a pure machine: SCRAM with channel binding, PLAIN, EXTERNAL; the verifiers that are kept
//! instead of passwords; tokens; and the grants by which a router vouches for a session. No clock, no randomness, no store.

mod downgrade;
mod exchange;
mod external;
mod grant;
mod handshake;
mod hash;
mod mechanism;
mod password;
mod plain;
mod resource;
mod resumption;
mod scram;
mod token;
mod token_record;
mod verifier;

/// The mechanisms for tokens (XEP-0484), the safest first.
pub const TOKEN_MECHANISMS: [&str; 3] = ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"];

pub mod client;

pub use exchange::{Exchange, Lookup, Policy, Start, Step, Verify};
pub use grant::{InvalidGrant, Mark, Opened, mark, open, seal};
pub use handshake::handshake;
pub use mechanism::Mechanism;
pub use password::{InvalidPassword, prepare};
pub use resource::{letters, stable_resource};
pub use resumption::{resumed_session, resumption_id};
pub use token::{Claim, Issued, Owner, Redeemed, TokenMechanism, Tokens, generation};
pub use verifier::{DEFAULT_ITERATIONS, SALT_BYTES, verifier, verifiers};
