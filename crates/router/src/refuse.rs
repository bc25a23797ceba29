//! Refusing a stanza: the error that answers it, counted.

use stanza::{Stanza, StanzaError};

use crate::gauges;

/// The answer to `stanza`; `None` when it may not be answered (RFC 6120, 8.3.1).
pub(crate) fn refuse(stanza: &Stanza, error: &StanzaError) -> Option<Stanza> {
    let answer = stanza.error(error)?;
    gauges::refused(error.condition);
    Some(answer)
}
