//! What is counted.

mod link;
mod pipeline;
mod stanza;
mod xml;

use bytes::Bytes;

/// Something to be done again and again.
pub(crate) type Round = Box<dyn FnMut()>;

/// One way through the code.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Makes ready what a round needs.
    pub(crate) prepare: fn() -> Round,
}

pub(crate) const ALL: &[Case] = &[
    Case {
        name: "xml-chat",
        prepare: xml::chat,
    },
    Case {
        name: "xml-chat-in-chunks",
        prepare: xml::chat_in_chunks,
    },
    Case {
        name: "stanza-read",
        prepare: stanza::read,
    },
    Case {
        name: "stanza-write",
        prepare: stanza::write,
    },
    Case {
        name: "pipeline-message-out",
        prepare: pipeline::message_out,
    },
    Case {
        name: "pipeline-message-in",
        prepare: pipeline::message_in,
    },
    Case {
        name: "pipeline-presence-broadcast",
        prepare: pipeline::presence_broadcast,
    },
    Case {
        name: "pipeline-initial-presence",
        prepare: pipeline::initial_presence,
    },
    Case {
        name: "link-submit-encode",
        prepare: link::submit_encode,
    },
    Case {
        name: "link-submit-decode",
        prepare: link::submit_decode,
    },
    Case {
        name: "link-delivery-encode",
        prepare: link::delivery_encode,
    },
    Case {
        name: "link-delivery-decode",
        prepare: link::delivery_decode,
    },
];

/// A chat message of 300 bytes, as clients write them.
const CHAT: &[u8] =
    b"<message to='juliet@capulet.example/balcony' from='romeo@montague.example/orchard' id='ktx72v4' type='chat'>\
<body>What light through yonder window breaks? It is the east, and Juliet is the sun</body>\
<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>";

fn chat() -> Bytes {
    Bytes::from_static(CHAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case does what it is called, or it panics: what is refused is cheap.
    #[test]
    fn every_case_runs() {
        assert_eq!(CHAT.len(), 300);
        for case in ALL {
            let mut round = (case.prepare)();
            (0..3).for_each(|_| round());
        }
    }
}
