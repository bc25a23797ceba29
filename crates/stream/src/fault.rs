//! Why a stream cannot go on.

use stanza::StreamCondition;

/// A stream error to send, with a text when there is something to add (RFC 6120, 4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) condition: StreamCondition,
    pub(crate) text: Option<&'static str>,
}

impl Fault {
    pub(crate) fn new(condition: StreamCondition, text: &'static str) -> Self {
        Self {
            condition,
            text: Some(text),
        }
    }
}

impl From<StreamCondition> for Fault {
    fn from(condition: StreamCondition) -> Self {
        Self { condition, text: None }
    }
}

impl From<xml::Error> for Fault {
    fn from(error: xml::Error) -> Self {
        let (xml::Error::NotWellFormed(text)
        | xml::Error::Restricted(text)
        | xml::Error::Encoding(text)
        | xml::Error::Limit(text)) = error;
        Self {
            condition: error.into(),
            text: Some(text),
        }
    }
}
