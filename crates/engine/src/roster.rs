//! How a contact looks on the wire (RFC 6121, 2.1): shared by roster results and by the pushes that follow a change.

use std::fmt::Display;
use std::sync::Arc;

use stanza::{Bare, Head, Iq, IqType, Jid, Payload, ns};
use store::{Ask, Contact, Roster};
use xml::Element;

use crate::effect::RosterChange;

/// The `<item/>` of a contact.
pub fn roster_item(contact: &Contact) -> Element {
    Element::new(ns::ROSTER, "item")
        .with_some("approved", contact.approved.then_some("true"))
        .with_some("ask", (contact.ask == Ask::Subscribe).then_some("subscribe"))
        .with("jid", contact.jid.to_string())
        .with_some("name", contact.name.as_ref())
        .with("subscription", contact.subscription.name())
        .extend(
            contact
                .groups
                .iter()
                .map(|group| Element::new(ns::ROSTER, "group").text(group)),
        )
}

/// The push that tells of `contact` (`Err`: of its removal) at roster version `version` (RFC 6121, 2.1.6). Sent to each
/// interested session with its full address in `to`.
pub fn push(owner: &Bare, version: impl Display, contact: Result<&Contact, &Jid>) -> Iq {
    let item = match contact {
        Ok(contact) => roster_item(contact),
        Err(jid) => Element::new(ns::ROSTER, "item")
            .with("jid", jid.to_string())
            .with("subscription", "remove"),
    };
    let jid = contact.map_or_else(|jid| jid, |contact| &contact.jid);
    let query = Element::new(ns::ROSTER, "query")
        .with("ver", version.to_string())
        .push(item);
    Iq {
        head: Head {
            from: Some(owner.jid().clone()),
            id: Some(Arc::from(format!("push-{version}-{}", short_tag(jid)))),
            ..Head::default()
        },
        kind: IqType::Set,
        payload: Payload::from(query),
    }
}

/// The pushes by which clients learn of `change` to the roster `before`, which stood at the first of `versions` and stands at the second
/// now: that is what the last says. A client that stops in between must not think that it has seen all. Clients learn nothing of contacts
/// that are not in their roster, nor of a change that only concerns a pending request.
pub fn pushes(owner: &Bare, before: &Roster, change: &RosterChange, versions: [impl Display; 2]) -> Vec<Iq> {
    let seen = |jid: &Jid| before.contacts.get(jid).filter(|contact| contact.in_roster);
    let put = change
        .put
        .iter()
        .filter_map(|contact| match (seen(&contact.jid), contact.in_roster) {
            (Some(old), true) if is_quiet(old, contact) => None,
            (_, true) => Some(Ok(contact)),
            (Some(_), false) => Some(Err(&contact.jid)),
            (None, false) => None,
        });
    let removed = change.remove.iter().filter(|jid| seen(jid).is_some()).map(Err);
    let told: Vec<Result<&Contact, &Jid>> = put.chain(removed).collect();
    let [stood, stands] = &versions;
    let version = |at| if at + 1 == told.len() { stands } else { stood };
    let pushes = told.iter().enumerate();
    pushes.map(|(at, one)| push(owner, version(at), *one)).collect()
}

/// Whether two states of a contact differ for the server only.
fn is_quiet(old: &Contact, new: &Contact) -> bool {
    old.pending_in != new.pending_in && roster_item(old) == roster_item(new)
}

/// A short stand-in for an address in an id: ids of pushes differ when one change pushes several contacts.
fn short_tag(jid: &Jid) -> String {
    jid.as_str()
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
        .to_string()
}
