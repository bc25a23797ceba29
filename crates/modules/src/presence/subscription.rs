//! The subscription states of RFC 6121, Appendix A, and how the four stanzas change them.
//!
//! ```text
//!            outbound subscribe          inbound subscribed
//!   (none) ─────────────────────▶ ask ─────────────────────▶ to      the user's subscription to the contact
//!            inbound subscribe           outbound subscribed
//!   (none) ─────────────────────▶ asked ───────────────────▶ from    the contact's subscription to the user
//! ```
//!
//! The two halves move independently; `unsubscribe` and `unsubscribed` lead back to the left.

use engine::PresenceType;
use store::{Ask, Contact, Subscription};

/// Where user and contact stand, as the user's server sees it (RFC 6121, A.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The user gets the contact's presence.
    pub(crate) to: bool,
    /// The user has asked for it ("Pending Out").
    pub(crate) ask: bool,
    /// The contact gets the user's presence.
    pub(crate) from: bool,
    /// The contact has asked for it ("Pending In").
    pub(crate) asked: bool,
}

/// What a subscription stanza does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Outbound: whether it is routed to the contact. Inbound: whether it is delivered to the user.
    pub(crate) passes: bool,
    /// The new state.
    pub(crate) state: State,
}

/// The user sends a subscription stanza to the contact (RFC 6121, A.2).
pub(crate) fn outbound(state: State, kind: PresenceType) -> Step {
    match kind {
        PresenceType::Subscribe => step(
            true,
            State {
                ask: !state.to,
                ..state
            },
        ),
        PresenceType::Unsubscribe => step(
            true,
            State {
                to: false,
                ask: false,
                ..state
            },
        ),
        PresenceType::Subscribed if state.asked => step(
            true,
            State {
                from: true,
                asked: false,
                ..state
            },
        ),
        PresenceType::Unsubscribed if state.from || state.asked => step(
            true,
            State {
                from: false,
                asked: false,
                ..state
            },
        ),
        _ => step(false, state),
    }
}

/// A subscription stanza of the contact arrives for the user (RFC 6121, A.3).
pub(crate) fn inbound(state: State, kind: PresenceType) -> Step {
    match kind {
        PresenceType::Subscribe if !state.from && !state.asked => step(true, State { asked: true, ..state }),
        PresenceType::Unsubscribe if state.from || state.asked => step(
            true,
            State {
                from: false,
                asked: false,
                ..state
            },
        ),
        PresenceType::Subscribed if state.ask => step(
            true,
            State {
                to: true,
                ask: false,
                ..state
            },
        ),
        PresenceType::Unsubscribed if state.to || state.ask => step(
            true,
            State {
                to: false,
                ask: false,
                ..state
            },
        ),
        _ => step(false, state),
    }
}

impl State {
    /// The state that the roster tells.
    pub(crate) fn of(contact: Option<&Contact>) -> Self {
        let Some(contact) = contact else { return Self::default() };
        Self {
            to: contact.subscription.is_to(),
            ask: contact.ask == Ask::Subscribe,
            from: contact.subscription.is_from(),
            asked: contact.pending_in.is_some(),
        }
    }

    /// Writes this state into the roster's contact. A request that came to be pending is put there by the caller.
    pub(crate) fn write(self, contact: &mut Contact) {
        contact.subscription = match (self.to, self.from) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        };
        contact.ask = if self.ask { Ask::Subscribe } else { Ask::None };
        contact.pending_in = contact.pending_in.take().filter(|_| self.asked);
    }
}

fn step(passes: bool, state: State) -> Step {
    Step { passes, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::PresenceType::{Subscribe, Subscribed, Unsubscribe, Unsubscribed};

    /// The nine states in the order of RFC 6121, A.1, abbreviated: N none, T to, F from, B both, o pending out, i pending in.
    const STATES: [(&str, State); 9] = [
        (
            "N",
            State {
                to: false,
                ask: false,
                from: false,
                asked: false,
            },
        ),
        (
            "No",
            State {
                to: false,
                ask: true,
                from: false,
                asked: false,
            },
        ),
        (
            "Ni",
            State {
                to: false,
                ask: false,
                from: false,
                asked: true,
            },
        ),
        (
            "Noi",
            State {
                to: false,
                ask: true,
                from: false,
                asked: true,
            },
        ),
        (
            "T",
            State {
                to: true,
                ask: false,
                from: false,
                asked: false,
            },
        ),
        (
            "Ti",
            State {
                to: true,
                ask: false,
                from: false,
                asked: true,
            },
        ),
        (
            "F",
            State {
                to: false,
                ask: false,
                from: true,
                asked: false,
            },
        ),
        (
            "Fo",
            State {
                to: false,
                ask: true,
                from: true,
                asked: false,
            },
        ),
        (
            "B",
            State {
                to: true,
                ask: false,
                from: true,
                asked: false,
            },
        ),
    ];

    /// Rows as in the appendix: existing state, whether it passes (MUST) or not (MUST NOT), new state.
    fn check(step: fn(State, PresenceType) -> Step, kind: PresenceType, table: [(&str, bool, &str); 9]) {
        let state = |name| {
            STATES
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, state)| *state)
                .unwrap()
        };
        for ((from, passes, to), (order, _)) in table.into_iter().zip(STATES) {
            assert_eq!(from, order, "rows in the appendix's order");
            assert_eq!(
                step(state(from), kind),
                Step {
                    passes,
                    state: state(to)
                },
                "{kind:?} in {from}"
            );
        }
    }

    const MUST: bool = true;
    const NOT: bool = false;

    #[test]
    fn a_2_1_outbound_subscribe() {
        check(
            outbound,
            Subscribe,
            [
                ("N", MUST, "No"),
                ("No", MUST, "No"),
                ("Ni", MUST, "Noi"),
                ("Noi", MUST, "Noi"),
                ("T", MUST, "T"),
                ("Ti", MUST, "Ti"),
                ("F", MUST, "Fo"),
                ("Fo", MUST, "Fo"),
                ("B", MUST, "B"),
            ],
        );
    }

    #[test]
    fn a_2_2_outbound_unsubscribe() {
        check(
            outbound,
            Unsubscribe,
            [
                ("N", MUST, "N"),
                ("No", MUST, "N"),
                ("Ni", MUST, "Ni"),
                ("Noi", MUST, "Ni"),
                ("T", MUST, "N"),
                ("Ti", MUST, "Ni"),
                ("F", MUST, "F"),
                ("Fo", MUST, "F"),
                ("B", MUST, "F"),
            ],
        );
    }

    #[test]
    fn a_2_3_outbound_subscribed() {
        check(
            outbound,
            Subscribed,
            [
                ("N", NOT, "N"),
                ("No", NOT, "No"),
                ("Ni", MUST, "F"),
                ("Noi", MUST, "Fo"),
                ("T", NOT, "T"),
                ("Ti", MUST, "B"),
                ("F", NOT, "F"),
                ("Fo", NOT, "Fo"),
                ("B", NOT, "B"),
            ],
        );
    }

    #[test]
    fn a_2_4_outbound_unsubscribed() {
        check(
            outbound,
            Unsubscribed,
            [
                ("N", NOT, "N"),
                ("No", NOT, "No"),
                ("Ni", MUST, "N"),
                ("Noi", MUST, "No"),
                ("T", NOT, "T"),
                ("Ti", MUST, "T"),
                ("F", MUST, "N"),
                ("Fo", MUST, "No"),
                ("B", MUST, "T"),
            ],
        );
    }

    #[test]
    fn a_3_1_inbound_subscribe() {
        check(
            inbound,
            Subscribe,
            [
                ("N", MUST, "Ni"),
                ("No", MUST, "Noi"),
                ("Ni", NOT, "Ni"),
                ("Noi", NOT, "Noi"),
                ("T", MUST, "Ti"),
                ("Ti", NOT, "Ti"),
                ("F", NOT, "F"),
                ("Fo", NOT, "Fo"),
                ("B", NOT, "B"),
            ],
        );
    }

    #[test]
    fn a_3_2_inbound_unsubscribe() {
        check(
            inbound,
            Unsubscribe,
            [
                ("N", NOT, "N"),
                ("No", NOT, "No"),
                ("Ni", MUST, "N"),
                ("Noi", MUST, "No"),
                ("T", NOT, "T"),
                ("Ti", MUST, "T"),
                ("F", MUST, "N"),
                ("Fo", MUST, "No"),
                ("B", MUST, "T"),
            ],
        );
    }

    #[test]
    fn a_3_3_inbound_subscribed() {
        check(
            inbound,
            Subscribed,
            [
                ("N", NOT, "N"),
                ("No", MUST, "T"),
                ("Ni", NOT, "Ni"),
                ("Noi", MUST, "Ti"),
                ("T", NOT, "T"),
                ("Ti", NOT, "Ti"),
                ("F", NOT, "F"),
                ("Fo", MUST, "B"),
                ("B", NOT, "B"),
            ],
        );
    }

    #[test]
    fn a_3_4_inbound_unsubscribed() {
        check(
            inbound,
            Unsubscribed,
            [
                ("N", NOT, "N"),
                ("No", MUST, "N"),
                ("Ni", NOT, "Ni"),
                ("Noi", MUST, "Ni"),
                ("T", MUST, "N"),
                ("Ti", MUST, "Ni"),
                ("F", NOT, "F"),
                ("Fo", MUST, "F"),
                ("B", MUST, "F"),
            ],
        );
    }

    /// What both servers know of a pair agrees before and after any stanza that one of them lets through, whoever sends it.
    #[test]
    fn both_sides_agree() {
        let mirrored = |state: State| State {
            to: state.from,
            ask: state.asked,
            from: state.to,
            asked: state.ask,
        };
        for (name, state) in STATES {
            for kind in [Subscribe, Subscribed, Unsubscribe, Unsubscribed] {
                let sent = outbound(state, kind);
                let other = mirrored(state);
                let other = if sent.passes { inbound(other, kind).state } else { other };
                assert_eq!(other, mirrored(sent.state), "{kind:?} in {name}");
            }
        }
    }

    #[test]
    fn states_survive_the_roster() {
        for (name, state) in STATES {
            let mut contact = Contact::new("romeo@montague.example".parse().unwrap());
            contact.pending_in = Some(b"<presence/>".to_vec());
            state.write(&mut contact);
            assert_eq!(State::of(Some(&contact)), state, "{name}");
        }
    }
}
