//! Stanzas to and from external components (XEP-0114): all that comes for one goes to one of its connections, all that it says goes where it is
//! addressed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use engine::Way;
use stanza::{Bare, Jid, SessionId, Stanza};
use topology::Slot;

use crate::account::{Account, Manner};
use crate::core::Core;
use crate::errand::{Errand, Out, Sent};
use crate::gauges;
use crate::refuse::unreachable;
use crate::session::Fate;

/// A stanza has come for the component. What one connection did not take goes to another; where there is none, it is answered.
pub(crate) fn arrive(core: &Core, account: &mut Account, sent: Sent, out: &mut Out) {
    let stanza = sent.stanza;
    let Some(id) = choose(account.sessions.keys(), stanza.from()) else {
        gauges::stanza(Way::In, &stanza, "nobody");
        out.note("nobody");
        return out.send(unreachable(&stanza));
    };
    gauges::stanza(Way::In, &stanza, "delivered");
    out.note("delivered");
    let manner = Manner {
        readdress: false,
        fate: Fate::Again(Arc::new(AtomicBool::new(false))),
        limits: core.queue_limits(),
        trace: out.trace,
    };
    account.deliver(&[id], &stanza, manner);
}

/// The component says something, as anybody at its domain.
pub(crate) fn leave(account: &Account, sent: Sent, out: &mut Out) {
    let is_its = sent.stanza.from().map(Jid::domain) == Some(account.jid().domain());
    gauges::stanza(Way::Out, &sent.stanza, if is_its { "travels" } else { "dropped" });
    if is_its {
        let stanza = addressed_barely(sent.stanza);
        out.push(Errand::Send(Sent { stanza, ..sent }));
    }
}

/// Subscriptions are between bare addresses (RFC 6121, 3.1.2).
fn addressed_barely(mut stanza: Arc<Stanza>) -> Arc<Stanza> {
    if matches!(&*stanza, Stanza::Presence(presence) if presence.kind.is_subscription()) {
        let bare = |jid: &Option<Jid>| jid.as_ref().map(|jid| jid.bare().into());
        let head = Arc::make_mut(&mut stanza).head_mut();
        (head.from, head.to) = (bare(&head.from), bare(&head.to));
    }
    stanza
}

/// The connection for what `from` sends: always the same as long as it is there, so that order holds; and when it goes, only what went there
/// goes elsewhere.
fn choose<'a>(connections: impl Iterator<Item = &'a SessionId>, from: Option<&Jid>) -> Option<SessionId> {
    let from = from.map(Jid::bare);
    let from = from.as_ref().map_or("", |from: &Bare| from.as_str());
    connections.copied().max_by_key(|id| Slot::of(&format!("{id}{from}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn who_speaks_is_heard_by_one_connection_until_it_goes() {
        let connections = [1_u128, 2, 3].map(|id| SessionId((id << 64) | (77 * id)));
        let mut heard = BTreeMap::<SessionId, usize>::new();
        for number in 0..300 {
            let from = Jid::parse(&format!("user{number}@capulet.example/one")).unwrap();
            let other = Jid::parse(&format!("user{number}@capulet.example/other")).unwrap();
            let chosen = choose(connections.iter(), Some(&from)).unwrap();
            assert_eq!(choose(connections.iter(), Some(&other)), Some(chosen));
            *heard.entry(chosen).or_default() += 1;
            for gone in connections {
                let left = connections.iter().filter(|id| **id != gone);
                let then = choose(left, Some(&from)).unwrap();
                assert!(then == chosen || gone == chosen, "{from} moves from {chosen} to {then}");
            }
        }
        assert!(heard.len() == 3 && heard.values().all(|count| *count > 50), "{heard:?}");
        assert_eq!(choose([].iter(), None), None);
    }
}
