//! A user's data in the portable format (XEP-0227): each function appends a piece of the document. What the format does not know stands in
//! a namespace of our own.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use stanza::{Bare, Jid, Stanza, Timestamp, delay, forward, ns};
use store::{Account, Entry, HashName, Item, Roster, Verifier};
use xml::{Element, Limits};

/// The log that clients read (XEP-0313).
pub(super) const ARCHIVE: &str = "archive";
/// The space of private XML storage (XEP-0049).
pub(super) const PRIVATE: &str = "private";

const PIE: &str = "urn:xmpp:pie:0";
const PIE_MAM: &str = "urn:xmpp:pie:0#mam";
const PIE_SCRAM: &str = "urn:xmpp:pie:0#scram";
const PRIVATE_STORAGE: &str = "jabber:iq:private";
const VCARD: &str = "vcard-temp";
/// What the format does not know.
const OWN: &str = "urn:dunlin:export:0";

/// The document, its host and its user begin (XEP-0227, 4.1 and 4.2).
pub(super) fn begin(account: &Account, out: &mut Vec<u8>) {
    let jid = &account.jid;
    out.extend_from_slice(b"<?xml version='1.0' encoding='UTF-8'?>\n");
    open(&Element::new(PIE, "server-data"), "", out);
    open(&Element::new(PIE, "host").with("jid", jid.domain()), PIE, out);
    let user = Element::new(PIE, "user").with("name", jid.local().unwrap_or_default());
    open(&user, PIE, out);
    let own = Element::new(OWN, "account")
        .with("created", account.created.to_xmpp())
        .with_some("last-seen", account.last_seen.map(Timestamp::to_xmpp))
        .with_some("disabled", account.disabled.then_some("true"));
    line(&own, out);
}

/// What began ends.
pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</user>\n</host>\n</server-data>\n");
}

/// XEP-0227, 4.3.
pub(super) fn credentials(verifiers: &[Verifier], out: &mut Vec<u8>) {
    for verifier in verifiers {
        let child = |name: &'static str, text: String| Element::new(PIE_SCRAM, name).text(text);
        let element = Element::new(PIE_SCRAM, "scram-credentials")
            .with("mechanism", mechanism(verifier.hash))
            .push(child("iter-count", verifier.iterations.to_string()))
            .push(child("salt", BASE64.encode(&verifier.salt)))
            .push(child("server-key", BASE64.encode(&verifier.server_key)))
            .push(child("stored-key", BASE64.encode(&verifier.stored_key)));
        line(&element, out);
    }
}

fn mechanism(hash: HashName) -> &'static str {
    match hash {
        HashName::Sha1 => "SCRAM-SHA-1",
        HashName::Sha256 => "SCRAM-SHA-256",
        HashName::Sha512 => "SCRAM-SHA-512",
    }
}

/// XEP-0227, 4.4 and 4.9: contacts, and who asks to be one.
pub(super) fn roster(roster: &Roster, out: &mut Vec<u8>) {
    let contacts = roster.contacts.values();
    let items = contacts
        .clone()
        .filter(|contact| contact.in_roster)
        .map(engine::roster_item);
    line(&Element::new(ns::ROSTER, "query").extend(items), out);
    for request in contacts.filter_map(|contact| contact.pending_in.as_ref()) {
        client(request, out);
    }
}

/// XEP-0227, 4.6: the elements stand in the store as they stand in their query.
pub(super) fn private(items: &[Item], out: &mut Vec<u8>) {
    if items.is_empty() {
        return;
    }
    open(&Element::new(PRIVATE_STORAGE, "query"), PIE, out);
    for item in items {
        out.extend_from_slice(&item.value);
    }
    out.extend_from_slice(b"</query>\n");
}

/// A vCard (XEP-0227, 4.7), or else what the format does not know: as text if it is that, else in base64.
pub(super) fn item(item: &Item, out: &mut Vec<u8>) {
    let card = Element::parse(&item.value, VCARD, &Limits::UNLIMITED);
    if let Ok(card) = card
        && card.is(VCARD, "vCard")
    {
        return line(&card, out);
    }
    let (encoding, text) = match std::str::from_utf8(&item.value) {
        Ok(text) if !text.chars().any(is_odd) => ("text", text.to_owned()),
        _ => ("base64", BASE64.encode(&item.value)),
    };
    let element = Element::new(OWN, "item")
        .with("space", item.key.space.clone())
        .with("name", item.key.name.clone())
        .with("encoding", encoding);
    line(&element.text(text), out);
}

/// What XML cannot hold, or a reader may change.
fn is_odd(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n') || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A log begins: the archive (XEP-0227, 4.11), or one that the format does not know.
pub(super) fn begin_log(log: &str, out: &mut Vec<u8>) {
    let element = match log {
        ARCHIVE => Element::new(PIE_MAM, "archive"),
        other => Element::new(OWN, "log").with("name", other.to_owned()),
    };
    open(&element, PIE, out);
}

/// The log ends.
pub(super) fn end_log(log: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(if log == ARCHIVE { b"</archive>\n" } else { b"</log>\n" });
}

/// A message of a log (XEP-0313, 4.2).
pub(super) fn message(owner: &Bare, entry: &Entry, out: &mut Vec<u8>) {
    let at = delay(owner.jid(), entry.at, None);
    if Stanza::parse(&entry.stanza).is_err() {
        let odd = Element::new(OWN, "entry")
            .with("id", entry.id.to_string())
            .with("encoding", "base64")
            .push(at)
            .text(BASE64.encode(&entry.stanza));
        return line(&odd, out);
    }
    let result = Element::new(ns::MAM, "result").with("id", entry.id.to_string());
    out.extend_from_slice(forward(&result, Some(&at), &entry.stanza).bytes());
    out.push(b'\n');
}

/// Whether a message stands in the archive only until its user has taken it: then it does not say that it stands there (XEP-0359).
pub(super) fn only_waits(owner: &Bare, entry: &Entry) -> bool {
    let Ok(Stanza::Message(message)) = Stanza::parse(&entry.stanza) else {
        return false;
    };
    let is_heard = message.head.to.as_ref().is_none_or(|to| to.bare() == *owner);
    let own = stanza::stanza_id(owner, entry.id);
    let payload = &message.payload;
    let mut ids = payload.children().iter().filter(|child| child.is(own.ns(), own.name()));
    is_heard && !ids.any(|child| payload.element(child).as_ref() == Some(&own))
}

/// Messages that wait begin (XEP-0227, 4.5).
pub(super) fn begin_offline(out: &mut Vec<u8>) {
    open(&Element::new(PIE, "offline-messages"), PIE, out);
}

/// A message that waits.
pub(super) fn offline(owner: &Bare, entry: &Entry, out: &mut Vec<u8>) {
    let (Ok(Stanza::Message(mut message)), Ok(domain)) = (Stanza::parse(&entry.stanza), Jid::parse(owner.domain()))
    else {
        return;
    };
    message.payload = message.payload.push(&delay(&domain, entry.at, Some("Offline Storage")));
    let mut bytes = Vec::new();
    Stanza::Message(message).write(&mut bytes);
    client(&bytes, out);
}

/// Messages that wait end.
pub(super) fn end_offline(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</offline-messages>\n");
}

/// A canonical stanza, which does not name its namespace.
fn client(stanza: &[u8], out: &mut Vec<u8>) {
    let name = stanza.iter().position(|byte| matches!(byte, b' ' | b'/' | b'>'));
    let (name, rest) = stanza.split_at(name.unwrap_or(stanza.len()));
    out.extend_from_slice(name);
    out.extend_from_slice(b" xmlns='jabber:client'");
    out.extend_from_slice(rest);
    out.push(b'\n');
}

/// A whole child of the user.
fn line(element: &Element, out: &mut Vec<u8>) {
    element.write(PIE, out);
    out.push(b'\n');
}

/// The start tag of an element without content.
fn open(element: &Element, default_ns: &str, out: &mut Vec<u8>) {
    element.write(default_ns, out);
    out.truncate(out.len() - "/>".len());
    out.extend_from_slice(b">\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{EntryId, Key, Version};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn entry(stanza: &'static str) -> Entry {
        Entry {
            id: EntryId(7),
            at: Timestamp(0),
            with: None,
            key: None,
            stanza: stanza.into(),
        }
    }

    fn romeo() -> Bare {
        Bare::parse("romeo@montague.example").unwrap()
    }

    #[test]
    fn items_are_readable_or_in_base64() {
        for (value, expected) in [
            (
                &b"<vCard><FN>R</FN></vCard>"[..],
                "<vCard xmlns='vcard-temp'><FN>R</FN></vCard>\n",
            ),
            (
                b"a < b",
                "<item xmlns='urn:dunlin:export:0' space='s' name='n' encoding='text'>a &lt; b</item>\n",
            ),
            (
                b"\x01",
                "<item xmlns='urn:dunlin:export:0' space='s' name='n' encoding='base64'>AQ==</item>\n",
            ),
            (
                b"\xff",
                "<item xmlns='urn:dunlin:export:0' space='s' name='n' encoding='base64'>/w==</item>\n",
            ),
            (
                b"a\r\n",
                "<item xmlns='urn:dunlin:export:0' space='s' name='n' encoding='base64'>YQ0K</item>\n",
            ),
        ] {
            let one = Item {
                key: Key {
                    space: "s".into(),
                    name: "n".into(),
                },
                version: Version(1),
                value: bytes::Bytes::from_static(value),
            };
            assert_eq!(written(|out| item(&one, out)), expected);
        }
    }

    #[test]
    fn messages_are_results_of_the_archive() {
        let whole = written(|out| message(&romeo(), &entry("<message id='m'><body>x</body></message>"), out));
        assert_eq!(
            whole,
            "<result xmlns='urn:xmpp:mam:2' id='00000000000000000000000000000007'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' from='romeo@montague.example' stamp='1970-01-01T00:00:00.000Z'/>\
             <message xmlns='jabber:client' id='m'><body>x</body></message></forwarded></result>\n"
        );
        let odd = written(|out| message(&romeo(), &entry("<<"), out));
        assert!(
            odd.starts_with("<entry xmlns='urn:dunlin:export:0'") && odd.contains("PDw="),
            "{odd}"
        );
    }

    #[test]
    fn what_only_waits_does_not_say_where_it_stands() {
        const STANDS: &str =
            "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@montague.example' id='00000000000000000000000000000007'/>";
        for (head, payload, waits) in [
            ("<message to='romeo@montague.example'>", "", true),
            ("<message to='romeo@montague.example/orchard'>", "<body>x</body>", true),
            ("<message to='romeo@montague.example'>", STANDS, false),
            ("<message to='juliet@capulet.example'>", "", false),
        ] {
            let stanza = format!("{head}{payload}</message>");
            let mut entry = entry("");
            entry.stanza = stanza.clone().into();
            assert_eq!(only_waits(&romeo(), &entry), waits, "{stanza}");
        }
        let waiting = entry("<message to='romeo@montague.example'><body>x</body></message>");
        assert_eq!(
            written(|out| offline(&romeo(), &waiting, out)),
            "<message xmlns='jabber:client' to='romeo@montague.example'><body>x</body><delay xmlns='urn:xmpp:delay' \
             from='montague.example' stamp='1970-01-01T00:00:00.000Z'>Offline Storage</delay></message>\n"
        );
    }
}
