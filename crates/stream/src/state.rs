//! The states of a stream, each with what it must remember. How they follow from each other stands in [`crate::Stream`].

use std::sync::Arc;
use std::time::Instant;

use stanza::{Exchange, Full, Iq, StreamCondition};

use crate::event::{Closed, Event};
use crate::fault::Fault;
use crate::login::Login;

/// Where a stream is.
#[derive(Debug, Default)]
pub(crate) enum State {
    Opening(Opening),
    Offering(Offering),
    Securing(Securing),
    Asking(Asking),
    Challenged(Challenged),
    Binding(Binding),
    Requested(Requested),
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

/// Authenticated; waits for a request to bind a resource.
#[derive(Debug)]
pub(crate) struct Binding(pub(crate) Box<Login>);

/// Waits for the home's answer to that request.
#[derive(Debug)]
pub(crate) struct Requested {
    pub(crate) login: Box<Login>,
    pub(crate) request: Box<Iq>,
}

/// Carries stanzas.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) address: Full,
    /// The language of stanzas that name none (RFC 6120, 4.7.4).
    pub(crate) lang: Option<Arc<str>>,
    /// When the client last sent a byte.
    pub(crate) heard: Instant,
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
        !matches!(
            self,
            Self::Securing(_) | Self::Asking(_) | Self::Requested(_) | Self::Over
        )
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
            | Self::Binding(Binding(login))
            | Self::Requested(Requested { login, .. }) => Some(login),
            Self::Established(_) | Self::Closing(_) | Self::Over => None,
        }
    }
}

impl Closing {
    /// How the stream has ended, once the client has answered or gone.
    pub(crate) fn outcome(self) -> Closed {
        self.error.map_or(Closed::Clean, |condition| Closed::Error(*condition))
    }
}
