//! What a user writes: stanzas that can be written once more, the same, when a session is resumed (XEP-0198, 5).

use std::io::Write;

use crate::scenario::Action;
use crate::tag::Tag;
use crate::world::World;

/// A stanza that counts in stream management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stanza {
    /// A message; which session it was first written in does not matter for its text.
    Message {
        /// To whom.
        to: u32,
        /// Which one to this user.
        number: u32,
        /// When it was to be sent, in microseconds since the run began.
        intended: u64,
    },
    /// Initial presence.
    Available,
    /// A change of presence that says when it was to happen.
    Presence {
        /// How many there were before.
        number: u32,
        /// As in messages.
        intended: u64,
    },
    /// A request, which has an id of its own.
    Request(Request, u32),
    /// An answer. Written once more, it answers nothing, but is counted.
    Answer,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The last page of the archive (XEP-0313).
    ArchivePage,
    /// Copies of what other clients send and receive (XEP-0280).
    Carbons,
    /// What the archive has got since (XEP-0313). Written once more, it is a ping: its answer says that it has to be asked again.
    CatchUp,
    /// A sign of life (XEP-0199).
    Ping,
    /// The roster (RFC 6121, 2.1.3).
    Roster,
}

/// `to` in the tag of a presence: everybody.
pub const EVERYBODY: u32 = u32::MAX;

impl Request {
    /// What an action asks for, if it is a request.
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::ArchivePage => Some(Self::ArchivePage),
            Action::Ping => Some(Self::Ping),
            Action::Roster => Some(Self::Roster),
            Action::Message | Action::Presence | Action::Reconnect => None,
        }
    }
}

impl Stanza {
    /// Appends it as `user` writes it in its session number `session`.
    pub fn write(&self, world: &World, user: u32, session: u32, out: &mut Vec<u8>) {
        match *self {
            Self::Message { to, number, intended } => {
                let tag = Tag {
                    run: world.run,
                    from: user,
                    to,
                    number,
                    session,
                    intended,
                };
                message(world, &tag, out);
            }
            Self::Available => out.extend_from_slice(b"<presence/>"),
            Self::Presence { number, intended } => {
                let show = if number.is_multiple_of(2) {
                    "<show>away</show>"
                } else {
                    ""
                };
                let tag = Tag {
                    run: world.run,
                    from: user,
                    to: EVERYBODY,
                    number,
                    session,
                    intended,
                };
                out.extend_from_slice(b"<presence>");
                out.extend_from_slice(show.as_bytes());
                out.extend_from_slice(b"<status>");
                tag.write(out);
                out.extend_from_slice(b"</status></presence>");
            }
            Self::Request(request, id) => ask(world, request, id, out),
            Self::Answer => out.extend_from_slice(b"<iq type='result' id='again'/>"),
        }
    }
}

fn message(world: &World, tag: &Tag, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<message to='");
    world.write_address(tag.to, out);
    if world.scenario.messages.to_resource {
        out.push(b'/');
        out.extend_from_slice(world.resource.as_bytes());
    }
    out.extend_from_slice(b"' type='chat' id='");
    tag.write(out);
    out.extend_from_slice(b"'><body>");
    let sizes = world.scenario.messages.body;
    // The same length when it is written again.
    let draw = (u64::from(tag.from) << 32 ^ u64::from(tag.to) << 16 ^ u64::from(tag.number))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let length = sizes.least + (draw >> 33) as usize % (sizes.most - sizes.least + 1);
    out.extend_from_slice(&world.padding.as_bytes()[..length]);
    out.extend_from_slice(b"</body></message>");
}

fn ask(world: &World, request: Request, id: u32, out: &mut Vec<u8>) {
    // A vector takes everything.
    let _ = match request {
        Request::ArchivePage => write!(
            out,
            "<iq type='set' id='q{id}'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>\
             <max>{}</max><before/></set></query></iq>",
            world.scenario.messages.page
        ),
        Request::Carbons => write!(
            out,
            "<iq type='set' id='q{id}'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
        ),
        Request::CatchUp | Request::Ping => write!(
            out,
            "<iq type='get' id='q{id}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            world.domain
        ),
        Request::Roster => write!(out, "<iq type='get' id='q{id}'><query xmlns='jabber:iq:roster'/></iq>"),
    };
}

/// The id of a request that was answered.
pub fn answered(id: &str) -> Option<u32> {
    id.strip_prefix('q')?.parse().ok()
}
