//! The states of a stream, each with what it must remember. How they follow from each other stands in [`crate::Stream`].

use std::sync::Arc;
use std::time::Instant;

use stanza::{Counts, Exchange, Full, Iq, StreamCondition};

use crate::config::Config;
use crate::event::{Closed, Event};
use crate::fault::Fault;
use crate::feature::bind2::SessionWishes;
use crate::login::{Asked, Login};
use crate::management::Management;
use crate::welcome::Welcome;

/// Where a stream is.
#[derive(Debug, Default)]
pub(crate) enum State {
    Opening(Opening),
    Offering(Offering),
    Securing(Securing),
    Asking(Asking),
    Challenged(Challenged),
    Registering(Registering),
    Binding(Binding),
    Requested(Requested),
    Resuming(Resuming),
    Established(Established),
    Closing(Closing),
    #[default]
    Over,
}

/// Waits for a header, the first or that of a restart.
#[derive(Debug)]
pub(crate) struct Opening(pub(crate) Box<Login>);

/// Has announced features; waits for STARTTLS or SASL.
#[derive(Debug)]
pub(crate) struct Offering(pub(crate) Box<Login>);

/// Waits for the TLS handshake. Nothing may be written.
#[derive(Debug)]
pub(crate) struct Securing(pub(crate) Box<Login>);

/// Waits for the router's word on a SASL step.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) login: Box<Login>,
    /// The exchange, from its second step on.
    pub(crate) exchange: Option<Exchange>,
}

/// Waits for the client's response to a challenge.
#[derive(Debug)]
pub(crate) struct Challenged {
    pub(crate) login: Box<Login>,
    pub(crate) exchange: Exchange,
}

/// Waits for the router's word on a registration.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) login: Box<Login>,
    pub(crate) iq: Box<Iq>,
}

/// Authenticated; waits for a request to bind a resource.
#[derive(Debug)]
pub(crate) struct Binding(pub(crate) Box<Login>);

/// Waits for the home's answer to that request.
#[derive(Debug)]
pub(crate) struct Requested {
    pub(crate) login: Box<Login>,
    pub(crate) asker: Asker,
}

/// How a client asked for its resource.
#[derive(Debug)]
pub(crate) enum Asker {
    /// By a stanza (RFC 6120, 7).
    Iq(Box<Iq>),
    /// Within authentication (XEP-0386); what it is then told, and what its session is to have.
    Inlined(Box<Welcome>, SessionWishes),
    /// A component, which does not ask: its handshake is answered then (XEP-0114, 3).
    Component,
}

/// Authenticated under SASL2, with wishes that are still to be looked at.
#[derive(Debug)]
pub(crate) struct Inlined {
    pub(crate) welcome: Welcome,
    pub(crate) asked: Box<Asked>,
}

/// Waits for the home's answer to a request to resume.
#[derive(Debug)]
pub(crate) struct Resuming {
    pub(crate) login: Box<Login>,
    /// The former stream's SM-ID.
    pub(crate) id: String,
    /// When it was asked for within authentication.
    pub(crate) inlined: Option<Box<Inlined>>,
}

/// Carries stanzas.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) address: Full,
    /// The client's stanzas, and the highest delivery written.
    pub(crate) counts: Counts,
    /// Whether the home has been asked to begin stream management.
    pub(crate) enabling: Enabling,
    /// Once stream management has begun.
    pub(crate) management: Option<Box<Management>>,
    /// The language of stanzas that name none (RFC 6120, 4.7.4).
    pub(crate) lang: Option<Arc<str>>,
    /// When the client last sent a byte.
    pub(crate) heard: Instant,
}

/// Whether the home has been asked to begin stream management: nothing is read or written meanwhile.
#[derive(Debug, Default)]
pub(crate) enum Enabling {
    #[default]
    No,
    /// By the client's element.
    Asked,
    /// Within authentication, which has yet to be answered.
    Inlined(Box<Entering>),
}

/// A session whose client has yet to be told that it is there.
#[derive(Debug)]
pub(crate) struct Entering {
    pub(crate) login: Box<Login>,
    pub(crate) welcome: Box<Welcome>,
}

/// We have sent our closing tag; waits for the client's.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) until: Instant,
    /// The stream error we sent, if it was one.
    pub(crate) error: Option<Box<StreamCondition>>,
}

/// What a state makes of an input: the next state, perhaps with an event, or a stream error.
pub(crate) type Step = Result<(State, Option<Event>), Fault>;

impl State {
    /// Whether input is read in this state. Where it is not, an answer is awaited.
    pub(crate) fn reads(&self) -> bool {
        match self {
            Self::Securing(_)
            | Self::Asking(_)
            | Self::Registering(_)
            | Self::Requested(_)
            | Self::Resuming(_)
            | Self::Over => false,
            Self::Established(established) => !established.enabling.is_under_way(),
            Self::Opening(_) | Self::Offering(_) | Self::Challenged(_) | Self::Binding(_) | Self::Closing(_) => true,
        }
    }

    /// The exchange that a router holds for this stream.
    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Asking(asking) => asking.exchange.as_ref(),
            Self::Challenged(challenged) => Some(&challenged.exchange),
            _ => None,
        }
    }

    /// The facts of the negotiation, while there is one.
    pub(crate) fn login(&self) -> Option<&Login> {
        match self {
            Self::Opening(Opening(login))
            | Self::Offering(Offering(login))
            | Self::Securing(Securing(login))
            | Self::Asking(Asking { login, .. })
            | Self::Challenged(Challenged { login, .. })
            | Self::Registering(Registering { login, .. })
            | Self::Binding(Binding(login))
            | Self::Requested(Requested { login, .. })
            | Self::Resuming(Resuming { login, .. }) => Some(login),
            Self::Established(_) | Self::Closing(_) | Self::Over => None,
        }
    }
}

impl Enabling {
    pub(crate) fn is_under_way(&self) -> bool {
        !matches!(self, Self::No)
    }
}

impl Established {
    /// A session that has just begun at `address`.
    pub(crate) fn new(address: Full, lang: Option<Arc<str>>, now: Instant) -> Self {
        Self {
            address,
            counts: Counts::default(),
            enabling: Enabling::No,
            management: None,
            lang,
            heard: now,
        }
    }

    /// When the client counts as gone if it is not heard.
    pub(crate) fn patience(&self, config: &Config) -> Option<Instant> {
        let idle = (!config.idle_timeout.is_zero()).then(|| self.heard + config.idle_timeout);
        let management = self.management.as_ref();
        let asked = management.and_then(|management| management.gone_at(self.heard, config.ack_timeout));
        idle.into_iter().chain(asked).min()
    }
}

impl Closing {
    /// How the stream has ended, once the client has answered or gone.
    pub(crate) fn outcome(self) -> Closed {
        self.error.map_or(Closed::Clean, |condition| Closed::Error(*condition))
    }
}
