//! Conditions travel by their element names, so that a reader of another release still understands most of them.

use ::stanza::{Condition, ErrorType, StanzaError, StreamCondition};

use super::pb;

/// Only what a refused bind tells: condition, type and text.
pub(crate) fn error_to(error: &StanzaError) -> pb::bind_reply::Error {
    pb::bind_reply::Error {
        condition: error.condition.name().into(),
        kind: error.kind.name().into(),
        text: error.text.clone(),
    }
}

/// Unknown names become `undefined-condition` and the condition's own type.
pub(crate) fn error_from(error: pb::bind_reply::Error) -> StanzaError {
    let condition = CONDITIONS.into_iter().find(|known| known.name() == error.condition);
    let mut out = StanzaError::new(condition.unwrap_or(Condition::UndefinedCondition));
    out.kind = TYPES
        .into_iter()
        .find(|known| known.name() == error.kind)
        .unwrap_or(out.kind);
    out.text = error.text;
    out
}

pub(crate) fn kick_to(session: pb::Session, condition: &StreamCondition) -> pb::Kick {
    let host = match condition {
        StreamCondition::SeeOtherHost(host) => host.clone(),
        _ => String::new(),
    };
    pb::Kick {
        session: Some(session),
        condition: condition.name().into(),
        host,
    }
}

/// Unknown names become `undefined-condition`.
pub(crate) fn kick_from(kick: &pb::Kick) -> StreamCondition {
    if kick.condition == "see-other-host" {
        return StreamCondition::SeeOtherHost(kick.host.clone());
    }
    let known = STREAM_CONDITIONS
        .into_iter()
        .find(|known| known.name() == kick.condition);
    known.unwrap_or(StreamCondition::UndefinedCondition)
}

const TYPES: [ErrorType; 5] = [
    ErrorType::Auth,
    ErrorType::Cancel,
    ErrorType::Continue,
    ErrorType::Modify,
    ErrorType::Wait,
];

const CONDITIONS: [Condition; 22] = [
    Condition::BadRequest,
    Condition::Conflict,
    Condition::FeatureNotImplemented,
    Condition::Forbidden,
    Condition::Gone,
    Condition::InternalServerError,
    Condition::ItemNotFound,
    Condition::JidMalformed,
    Condition::NotAcceptable,
    Condition::NotAllowed,
    Condition::NotAuthorized,
    Condition::PolicyViolation,
    Condition::RecipientUnavailable,
    Condition::Redirect,
    Condition::RegistrationRequired,
    Condition::RemoteServerNotFound,
    Condition::RemoteServerTimeout,
    Condition::ResourceConstraint,
    Condition::ServiceUnavailable,
    Condition::SubscriptionRequired,
    Condition::UndefinedCondition,
    Condition::UnexpectedRequest,
];

const STREAM_CONDITIONS: [StreamCondition; 24] = [
    StreamCondition::BadFormat,
    StreamCondition::BadNamespacePrefix,
    StreamCondition::Conflict,
    StreamCondition::ConnectionTimeout,
    StreamCondition::HostGone,
    StreamCondition::HostUnknown,
    StreamCondition::ImproperAddressing,
    StreamCondition::InternalServerError,
    StreamCondition::InvalidFrom,
    StreamCondition::InvalidNamespace,
    StreamCondition::InvalidXml,
    StreamCondition::NotAuthorized,
    StreamCondition::NotWellFormed,
    StreamCondition::PolicyViolation,
    StreamCondition::RemoteConnectionFailed,
    StreamCondition::Reset,
    StreamCondition::ResourceConstraint,
    StreamCondition::RestrictedXml,
    StreamCondition::SystemShutdown,
    StreamCondition::UndefinedCondition,
    StreamCondition::UnsupportedEncoding,
    StreamCondition::UnsupportedFeature,
    StreamCondition::UnsupportedStanzaType,
    StreamCondition::UnsupportedVersion,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_comes_back() {
        for condition in CONDITIONS {
            let error = StanzaError::new(condition).with_type(ErrorType::Wait).with_text("why");
            assert_eq!(error_from(error_to(&error)), error);
        }
        let other = StreamCondition::SeeOtherHost("[::1]:5222".into());
        for condition in STREAM_CONDITIONS.into_iter().chain([other]) {
            assert_eq!(kick_from(&kick_to(pb::Session::default(), &condition)), condition);
        }
    }

    #[test]
    fn unknown_names_are_undefined() {
        let kick = pb::Kick {
            condition: "surprise".into(),
            ..Default::default()
        };
        assert_eq!(kick_from(&kick), StreamCondition::UndefinedCondition);
        let error = pb::bind_reply::Error {
            condition: "surprise".into(),
            kind: "odd".into(),
            text: None,
        };
        assert_eq!(error_from(error), StanzaError::new(Condition::UndefinedCondition));
    }
}
