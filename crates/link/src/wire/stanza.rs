//! Stanzas: decoded head plus raw payload bytes.

use std::sync::Arc;

use ::stanza::{Head, Iq, IqType, Jid, Message, MessageType, Payload, Presence, PresenceType, Stanza};

use super::address::{Malformed, jid_from};
use super::pb;
use super::pb::stanza::Kind;

pub(crate) fn stanza_to(stanza: &Stanza) -> pb::Stanza {
    let head = stanza.head();
    let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
    let address = |jid: &Option<Jid>| jid.as_ref().map_or_else(String::new, |jid| jid.as_str().to_owned());
    pb::Stanza {
        kind: kind_to(stanza).into(),
        to: address(&head.to),
        from: address(&head.from),
        id: text(&head.id),
        lang: text(&head.lang),
        extra: text(&head.extra),
        payload: stanza.payload().bytes().clone(),
    }
}

pub(crate) fn stanza_from(stanza: Option<pb::Stanza>) -> Result<Stanza, Malformed> {
    let stanza = stanza.ok_or(Malformed("stanza"))?;
    let address = |text: &str| (!text.is_empty()).then(|| jid_from(text)).transpose();
    let head = Head {
        to: address(&stanza.to)?,
        from: address(&stanza.from)?,
        id: stanza.id.map(Into::into),
        lang: stanza.lang.map(Into::into),
        extra: stanza.extra.map(Into::into),
    };
    build(
        Kind::try_from(stanza.kind).unwrap_or_default(),
        head,
        Payload::from_canonical(stanza.payload),
    )
}

/// Roughly how much memory a stanza takes in a queue, in bytes.
pub(crate) fn stanza_size(stanza: &Stanza) -> usize {
    256 + stanza.payload().bytes().len()
}

fn build(kind: Kind, head: Head, payload: Payload) -> Result<Stanza, Malformed> {
    let message = |kind| {
        Ok(Stanza::Message(Message {
            head: head.clone(),
            kind,
            payload: payload.clone(),
        }))
    };
    let presence = |kind| {
        Ok(Stanza::Presence(Presence {
            head: head.clone(),
            kind,
            payload: payload.clone(),
        }))
    };
    let iq = |kind| {
        // The error for a query without id has none either.
        let is_answerable = head.id.is_some() || kind == IqType::Error;
        let identified = is_answerable.then_some(()).ok_or(Malformed("query without id"));
        identified.map(|()| {
            Stanza::Iq(Iq {
                head: head.clone(),
                kind,
                payload: payload.clone(),
            })
        })
    };
    match kind {
        Kind::Unknown => Err(Malformed("kind of stanza")),
        Kind::MessageNormal => message(MessageType::Normal),
        Kind::MessageChat => message(MessageType::Chat),
        Kind::MessageGroupchat => message(MessageType::Groupchat),
        Kind::MessageHeadline => message(MessageType::Headline),
        Kind::MessageError => message(MessageType::Error),
        Kind::PresenceAvailable => presence(PresenceType::Available),
        Kind::PresenceError => presence(PresenceType::Error),
        Kind::PresenceProbe => presence(PresenceType::Probe),
        Kind::PresenceSubscribe => presence(PresenceType::Subscribe),
        Kind::PresenceSubscribed => presence(PresenceType::Subscribed),
        Kind::PresenceUnavailable => presence(PresenceType::Unavailable),
        Kind::PresenceUnsubscribe => presence(PresenceType::Unsubscribe),
        Kind::PresenceUnsubscribed => presence(PresenceType::Unsubscribed),
        Kind::IqGet => iq(IqType::Get),
        Kind::IqSet => iq(IqType::Set),
        Kind::IqResult => iq(IqType::Result),
        Kind::IqError => iq(IqType::Error),
    }
}

fn kind_to(stanza: &Stanza) -> Kind {
    match stanza {
        Stanza::Message(message) => match message.kind {
            MessageType::Normal => Kind::MessageNormal,
            MessageType::Chat => Kind::MessageChat,
            MessageType::Groupchat => Kind::MessageGroupchat,
            MessageType::Headline => Kind::MessageHeadline,
            MessageType::Error => Kind::MessageError,
        },
        Stanza::Presence(presence) => match presence.kind {
            PresenceType::Available => Kind::PresenceAvailable,
            PresenceType::Error => Kind::PresenceError,
            PresenceType::Probe => Kind::PresenceProbe,
            PresenceType::Subscribe => Kind::PresenceSubscribe,
            PresenceType::Subscribed => Kind::PresenceSubscribed,
            PresenceType::Unavailable => Kind::PresenceUnavailable,
            PresenceType::Unsubscribe => Kind::PresenceUnsubscribe,
            PresenceType::Unsubscribed => Kind::PresenceUnsubscribed,
        },
        Stanza::Iq(iq) => match iq.kind {
            IqType::Get => Kind::IqGet,
            IqType::Set => Kind::IqSet,
            IqType::Result => Kind::IqResult,
            IqType::Error => Kind::IqError,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_stanza_comes_back() {
        let head = Head {
            to: Some(Jid::parse("juliet@capulet.example/balcony").unwrap()),
            from: Some(Jid::parse("romeo@montague.example").unwrap()),
            id: Some("1".into()),
            lang: Some("".into()),
            extra: Some(" x='1'".into()),
        };
        let mut seen = 0;
        for kind in (1..40).filter_map(|n| Kind::try_from(n).ok()) {
            let stanza = build(kind, head.clone(), Payload::from_canonical("<body>Soft!</body>".into())).unwrap();
            assert_eq!(stanza_from(Some(stanza_to(&stanza))), Ok(stanza));
            seen += 1;
        }
        assert_eq!(seen, 17);
    }

    #[test]
    fn what_is_no_stanza_is_refused() {
        let check = |stanza, why| assert_eq!(stanza_from(stanza), Err(Malformed(why)));
        let message = pb::Stanza {
            kind: Kind::MessageChat.into(),
            ..Default::default()
        };
        check(None, "stanza");
        check(Some(pb::Stanza::default()), "kind of stanza");
        check(
            Some(pb::Stanza {
                kind: 999,
                ..message.clone()
            }),
            "kind of stanza",
        );
        check(
            Some(pb::Stanza {
                to: "@/".into(),
                ..message.clone()
            }),
            "address",
        );
        check(
            Some(pb::Stanza {
                kind: Kind::IqGet.into(),
                ..message
            }),
            "query without id",
        );
    }
}
