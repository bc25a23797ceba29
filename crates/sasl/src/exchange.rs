//! An exchange, from the client's first word to the verdict. The caller looks up accounts, brings randomness, and chooses the
//! thread for what is expensive.
//!
//! ```text
//! start ──▶ [Challenge ─respond─▶] Lookup ─found─▶ Challenge ─respond─▶ Success | Failure     (SCRAM)
//!                                  Lookup ─found─▶ Verify ────run─────▶ Success | Failure     (PLAIN)
//!                                  Lookup ─found─▶ Success | Failure                          (EXTERNAL)
//! greet ──▶  Challenge ─respond─▶  Success | Failure                                          (components)
//! ```
//! The first challenge is empty: it asks for the initial response where the client sent none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stanza::{Bare, Jid, Peer, SaslFailure};
use store::{HashName, Verifier};
use zeroize::Zeroizing;

use crate::downgrade::Announced;
use crate::handshake::Handshake;
use crate::mechanism::Mechanism;
use crate::scram::{First, Pending};
use crate::{external, password, plain, verifier};

/// What begins an exchange: the parts of `SaslRequest::Start`.
#[derive(Clone, Debug)]
pub struct Start {
    /// The virtual host.
    pub domain: String,
    /// Mechanism name as the client sent it.
    pub mechanism: String,
    /// The mechanisms that were offered.
    pub offered: Vec<String>,
    /// The channel-binding types that were announced.
    pub bindings: Vec<String>,
    /// The initial response, if there was one.
    pub initial: Option<Bytes>,
    /// The connection.
    pub peer: Peer,
}

/// What the cluster has decided once for all.
#[derive(Clone)]
pub struct Policy {
    /// The cluster's secret, from which the salts of unknown users follow.
    pub secret: Vec<u8>,
    /// The iterations that unknown users seem to have: those of new verifiers.
    pub iterations: u32,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send the data to the client; go on with [`Exchange::respond`].
    Challenge(Exchange, Bytes),
    /// Look up the account; go on with [`Lookup::found`].
    Lookup(Lookup),
    /// Run [`Verify::run`] where blocking is allowed: it takes milliseconds of a core.
    Verify(Verify),
    /// The client is who it says.
    Success {
        /// Who that is.
        account: Bare,
        /// The mechanism's last word.
        data: Option<Bytes>,
    },
    /// It is not.
    Failure(SaslFailure),
}

/// An exchange that waits for the client.
#[derive(Debug)]
pub struct Exchange(Waiting);

#[derive(Debug)]
enum Waiting {
    /// For the initial response.
    Initial(Box<Context>),
    /// For SCRAM's final message.
    Final { account: Bare, pending: Box<Pending> },
    /// For a component's handshake.
    Handshake(Handshake),
}

/// An exchange that waits for what the store knows of [`Lookup::account`].
#[derive(Debug)]
pub struct Lookup {
    account: Bare,
    claim: Claim,
}

/// A password to be checked.
pub struct Verify {
    account: Bare,
    password: Zeroizing<String>,
    verifier: Verifier,
    known: bool,
}

/// What has been claimed, to be held against the account.
enum Claim {
    Certificate,
    Password(Zeroizing<String>),
    Scram {
        hash: HashName,
        channel: Vec<u8>,
        first: Box<First>,
        /// What the server's first message says of the connection.
        attributes: String,
    },
}

/// What stays the same through the exchange.
#[derive(Debug)]
struct Context {
    mechanism: Mechanism,
    domain: String,
    offered: Vec<String>,
    bindings: Vec<String>,
    peer: Peer,
}

/// The verifier that passwords are checked against.
const PREFERRED: HashName = HashName::Sha256;

/// The longest message of a client, in bytes. Names and passwords are at most 1,023 each.
const LONGEST: usize = 8192;

impl Exchange {
    /// Begins an exchange.
    pub fn start(start: Start) -> Step {
        let Start {
            domain,
            mechanism: name,
            offered,
            bindings,
            initial,
            peer,
        } = start;
        let mechanism = Mechanism::from_name(&name).filter(|_| offered.contains(&name));
        let Some(mechanism) = mechanism else {
            return Step::Failure(SaslFailure::InvalidMechanism);
        };
        let context = Context {
            mechanism,
            domain,
            offered,
            bindings,
            peer,
        };
        match initial {
            Some(message) => context.initial(&message),
            None => Step::Challenge(Self(Waiting::Initial(Box::new(context))), Bytes::new()),
        }
    }

    /// Begins the handshake of a component, known by `secret`, whose stream is to have the id `id` (XEP-0114, 3).
    pub fn greet(component: Bare, id: &str, secret: &str) -> Step {
        let handshake = Handshake::new(component, id, secret);
        Step::Challenge(
            Self(Waiting::Handshake(handshake)),
            Bytes::copy_from_slice(id.as_bytes()),
        )
    }

    /// Goes on with the client's response to a challenge.
    pub fn respond(self, message: &[u8]) -> Step {
        match self.0 {
            Waiting::Initial(context) => context.initial(message),
            Waiting::Final { .. } if message.len() > LONGEST => Step::Failure(SaslFailure::MalformedRequest),
            Waiting::Final { account, pending } => match pending.finish(message) {
                Ok(signature) => Step::Success {
                    account,
                    data: Some(signature.into()),
                },
                Err(failure) => Step::Failure(failure),
            },
            Waiting::Handshake(handshake) => match handshake.finish(message) {
                Some(account) => Step::Success { account, data: None },
                None => Step::Failure(SaslFailure::NotAuthorized),
            },
        }
    }
}

impl Context {
    fn initial(self, message: &[u8]) -> Step {
        if message.len() > LONGEST {
            return Step::Failure(SaslFailure::MalformedRequest);
        }
        match self.claim(message) {
            Ok(lookup) => Step::Lookup(lookup),
            Err(failure) => Step::Failure(failure),
        }
    }

    fn claim(&self, message: &[u8]) -> Result<Lookup, SaslFailure> {
        match self.mechanism {
            Mechanism::External => {
                let authzid = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
                let addresses = self.peer.tls.as_ref().map_or(&[][..], |tls| &tls.certificate_addresses);
                let account = external::account(&self.domain, addresses, authzid)?;
                Ok(Lookup {
                    account,
                    claim: Claim::Certificate,
                })
            }
            Mechanism::Plain => {
                let message = plain::read(message)?;
                let account = self.account(&message.username, message.authzid.as_deref())?;
                Ok(Lookup {
                    account,
                    claim: Claim::Password(message.password),
                })
            }
            Mechanism::Scram { hash, plus } => {
                let first = Box::new(First::read(message)?);
                let tls = self.peer.tls.as_ref();
                let channel = first.channel(plus, &self.offered, tls)?.to_vec();
                let account = self.account(&first.username, first.authzid.as_deref())?;
                let announced = Announced {
                    mechanisms: &self.offered,
                    bindings: &self.bindings,
                    tls,
                };
                let attributes = announced.attributes(hash);
                let claim = Claim::Scram {
                    hash,
                    channel,
                    first,
                    attributes,
                };
                Ok(Lookup { account, claim })
            }
        }
    }

    /// The account of `username`, which may act as nobody else (RFC 6120, 6.3.8). What is no localpart is nobody's.
    fn account(&self, username: &str, authzid: Option<&str>) -> Result<Bare, SaslFailure> {
        let account = Jid::from_parts(Some(username), &self.domain, None).map_err(|_| SaslFailure::NotAuthorized)?;
        match authzid.map(Bare::parse) {
            None => Ok(account.bare()),
            Some(Ok(authzid)) if authzid == account.bare() => Ok(authzid),
            Some(_) => Err(SaslFailure::InvalidAuthzid),
        }
    }
}

impl Lookup {
    /// Whose account to look up.
    pub fn account(&self) -> &Bare {
        &self.account
    }

    /// Goes on with the account's verifiers; `None` when there is no such account. `nonce` is new randomness, at least 16
    /// bytes.
    pub fn found(self, verifiers: Option<&[Verifier]>, nonce: &[u8], policy: &Policy) -> Step {
        let Self { account, claim } = self;
        match claim {
            Claim::Certificate => match verifiers {
                Some(_) => Step::Success { account, data: None },
                None => Step::Failure(SaslFailure::NotAuthorized),
            },
            Claim::Password(password) => {
                // Any of them will do; this one costs a quarter of the strongest.
                let (verifier, known) = or_fake(preferred(verifiers), PREFERRED, &account, policy);
                Step::Verify(Verify {
                    account,
                    password,
                    verifier,
                    known,
                })
            }
            Claim::Scram {
                hash,
                channel,
                first,
                attributes,
            } => {
                let of_hash = verifiers.into_iter().flatten().find(|verifier| verifier.hash == hash);
                let (verifier, known) = or_fake(of_hash, hash, &account, policy);
                let (pending, challenge) =
                    Pending::new(&first, &channel, &STANDARD.encode(nonce), &attributes, verifier, known);
                let waiting = Waiting::Final {
                    account,
                    pending: Box::new(pending),
                };
                Step::Challenge(Exchange(waiting), challenge.into())
            }
        }
    }
}

fn preferred(verifiers: Option<&[Verifier]>) -> Option<&Verifier> {
    let verifiers = verifiers?;
    verifiers
        .iter()
        .find(|verifier| verifier.hash == PREFERRED)
        .or(verifiers.last())
}

fn or_fake(found: Option<&Verifier>, hash: HashName, account: &Bare, policy: &Policy) -> (Verifier, bool) {
    match found {
        Some(verifier) => (verifier.clone(), true),
        None => (verifier::fake(hash, account, &policy.secret, policy.iterations), false),
    }
}

impl Verify {
    /// Checks the password. Takes as long for unknown users. Ends in [`Step::Success`] or [`Step::Failure`].
    pub fn run(self) -> Step {
        let prepared = password::prepare(&self.password);
        let bytes = prepared.as_ref().map_or(&b"\0"[..], |password| password.as_bytes()); // matches nothing, as slowly
        let is_right = verifier::matches(&self.verifier, bytes);
        if is_right & self.known & prepared.is_ok() {
            return Step::Success {
                account: self.account,
                data: None,
            };
        }
        Step::Failure(SaslFailure::NotAuthorized)
    }
}

impl std::fmt::Debug for Policy {
    /// Never prints the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Verify {
    /// Never prints the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verify")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Claim {
    /// Never prints the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "Certificate",
            Self::Password(_) => "Password(…)",
            Self::Scram { .. } => "Scram(…)",
        })
    }
}
