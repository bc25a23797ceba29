//! Stanzas read, written and answered, as the RFCs print them.

use dunlin_stanza::{Condition, InvalidStanza, Iq, IqType, Jid, MessageType, Payload, Show, Stanza, StanzaError};
use xml::{Event, Limits, Reader};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

fn parse(text: &str) -> Result<Stanza, InvalidStanza> {
    let mut reader = Reader::new(Limits::default());
    reader.receive(HEADER.as_bytes());
    reader.receive(text.as_bytes());
    assert!(matches!(reader.poll(), Ok(Some(Event::Open(_)))));
    match reader.poll() {
        Ok(Some(Event::Child(child))) => Stanza::parse(&child),
        other => panic!("{text}: {other:?}"),
    }
}

fn written(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).expect("stanzas are text")
}

/// `text` is read, and written as `expected`; that reads back as the same stanza.
fn check(text: &str, expected: &str) -> Stanza {
    let stanza = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    assert_eq!(written(&stanza), expected);
    assert_eq!(parse(expected).as_ref(), Ok(&stanza));
    stanza
}

fn same(text: &str) -> Stanza {
    check(text, text)
}

#[test]
fn messages() {
    let stanza = same(
        "<message to='romeo@example.net' from='juliet@im.example.com/balcony' id='ktx72v49' type='chat' xml:lang='en'>\
         <body>Art thou not Romeo, and a Montague?</body></message>",
    );
    assert!(stanza.payload().has("jabber:client", "body"));
    let Stanza::Message(message) = stanza else { panic!() };
    assert_eq!(message.kind, MessageType::Chat);
    assert_eq!(message.head.from.unwrap().bare().as_str(), "juliet@im.example.com");
    check("<message type='normal'/>", "<message/>");
    check(
        "<message type='unheard-of'><body/></message>",
        "<message><body/></message>",
    );
    check(
        "<message to='a@b/it&apos;s &lt;me&gt;'/>",
        "<message to='a@b/it&apos;s &lt;me&gt;'/>",
    );
    check(
        "<message id=\"it's\" xmlns='jabber:client'> </message>",
        "<message id='it&apos;s'> </message>",
    );
}

#[test]
fn unknown_attributes_travel_on() {
    check(
        "<message xmlns:a='urn:a' xmlns:b='urn:b' plain='1' a:x='2' a:y='3&lt;'><a:p b:z='4'/></message>",
        "<message plain='1' xmlns:a='urn:a' a:x='2' a:y='3&lt;'><p xmlns='urn:a' xmlns:b='urn:b' b:z='4'/></message>",
    );
}

#[test]
fn payload_is_independent_of_the_stream_and_the_stanza() {
    let stanza = parse("<message xmlns:x='urn:x'><x:a><x:b stream:c='d'/></x:a></message>").unwrap();
    let child = &stanza.payload().children()[0];
    assert!(child.is("urn:x", "a"));
    assert_eq!(
        stanza.payload().slice(child),
        "<a xmlns='urn:x'><b xmlns:stream='http://etherx.jabber.org/streams' stream:c='d'/></a>"
    );
}

#[test]
fn presence() {
    let stanza = same("<presence><show>dnd</show><priority>-3</priority></presence>");
    let Stanza::Presence(presence) = stanza else { panic!() };
    assert_eq!((presence.show(), presence.priority()), (Show::Dnd, -3));
    for (text, priority) in [("128", 0), ("127", 127), ("-128", -128), ("", 0), ("x", 0), (" 5\n", 5)] {
        let Ok(Stanza::Presence(presence)) = parse(&format!("<presence><priority>{text}</priority></presence>")) else {
            panic!()
        };
        assert_eq!(presence.priority(), priority, "{text}");
    }
}

#[test]
fn fan_out_changes_the_addressee_only() {
    let stanza = parse("<presence from='a@b/c' to='x@y'/>").unwrap();
    let mut out = Vec::new();
    stanza.write_to(Some(&Jid::parse("d@e").unwrap()), &mut out);
    assert_eq!(out, b"<presence to='d@e' from='a@b/c'/>");
    out.clear();
    stanza.write_to(None, &mut out);
    assert_eq!(out, b"<presence from='a@b/c'/>");
}

#[test]
fn refused_stanzas() {
    use Condition::{BadRequest, JidMalformed};
    let answered = [
        ("<message to='@x'/>", JidMalformed, "<message type='error'>"),
        ("<presence type='odd'/>", BadRequest, "<presence type='error'>"),
        ("<presence to='a b@c'/>", JidMalformed, "<presence type='error'>"),
        (
            "<iq type='get'><a xmlns='b'/></iq>",
            BadRequest,
            "<iq type='error'><a xmlns='b'/>",
        ),
        ("<iq type='get' id='1'/>", BadRequest, "<iq id='1' type='error'>"),
        (
            "<iq type='set' id='1'><a xmlns='b'/><a xmlns='b'/></iq>",
            BadRequest,
            "<iq id='1' type='error'>",
        ),
        (
            "<iq type='odd' id='1'><a xmlns='b'/></iq>",
            BadRequest,
            "<iq id='1' type='error'>",
        ),
        ("<iq id='1'><a xmlns='b'/></iq>", BadRequest, "<iq id='1' type='error'>"),
        (
            "<iq type='get' id='1' to='a@'><a xmlns='b'/></iq>",
            JidMalformed,
            "<iq id='1' type='error'>",
        ),
    ];
    for (text, condition, start) in answered {
        let Err(InvalidStanza::Refused(stanza, error)) = parse(text) else {
            panic!("{text}")
        };
        assert_eq!(error, StanzaError::new(condition), "{text}");
        let answer = written(&stanza.error(&error).unwrap());
        assert!(
            answer.starts_with(start) && answer.contains(condition.name()),
            "{text}: {answer}"
        );
    }
    let dropped = [
        ("<iq type='result'/>", BadRequest),
        ("<iq type='result' id='1'><a xmlns='b'/><a xmlns='b'/></iq>", BadRequest),
        ("<iq type='odd'/>", BadRequest),
        ("<iq/>", BadRequest),
        ("<iq type='error' id='1' to='a@'/>", JidMalformed),
        ("<message type='error' to='a@'/>", JidMalformed),
        ("<presence type='unavailable' to='a@'/>", JidMalformed),
        ("<message from='a@'/>", JidMalformed),
    ];
    for (text, condition) in dropped {
        assert_eq!(parse(text), Err(InvalidStanza::Unanswerable(condition)), "{text}");
    }
    for (text, ns, name) in [
        ("<foo/>", "jabber:client", "foo"),
        ("<message xmlns='jabber:server'/>", "jabber:server", "message"),
        ("<stream:iq/>", "http://etherx.jabber.org/streams", "iq"),
        ("<message xmlns=''/>", "", "message"),
    ] {
        let expected = InvalidStanza::Unsupported {
            ns: ns.into(),
            name: name.into(),
        };
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

#[test]
fn error_answers_keep_the_payload() {
    let stanza = parse("<iq to='a@b' from='c@d/e' id='1' type='get'><q xmlns='u'/></iq>").unwrap();
    let mut error = StanzaError::new(Condition::NotAllowed).with_text("no");
    error.by = Jid::parse("b").ok();
    assert_eq!(
        written(&stanza.error(&error).unwrap()),
        "<iq to='c@d/e' from='a@b' id='1' type='error'><q xmlns='u'/><error type='cancel' by='b'>\
         <not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no</text></error></iq>"
    );
    for text in [
        "<message type='error'/>",
        "<presence type='error'/>",
        "<iq type='result' id='1'/>",
        "<iq type='error' id='1'/>",
    ] {
        assert_eq!(parse(text).unwrap().error(&error), None, "{text}");
    }
}

#[test]
fn results_swap_addresses() {
    let Ok(Stanza::Iq(iq)) = parse("<iq to='a@b' from='c@d/e' id='1' type='get'><q xmlns='u'/></iq>") else {
        panic!()
    };
    let result: Iq = iq.result(Payload::default());
    assert_eq!(result.kind, IqType::Result);
    assert_eq!(
        written(&result.into()),
        "<iq to='c@d/e' from='a@b' id='1' type='result'/>"
    );
}

#[test]
fn payloads_are_cut_and_extended() {
    let stanza = parse("<message>a<x xmlns='1'/>b<y xmlns='2'><x/></y><x xmlns='1'>/</x>c</message>").unwrap();
    let payload = stanza.payload();
    assert_eq!(payload.children().len(), 3);
    let cut = payload.without(|child| child.is("1", "x"));
    assert_eq!(cut.bytes(), "ab<y xmlns='2'><x/></y>c");
    assert_eq!(cut.find("2", "y").unwrap().to_string(), "<y xmlns='2'><x/></y>");
    let added = cut.push(&xml::Element::new("jabber:client", "body").text("<"));
    assert_eq!(added.bytes(), "ab<y xmlns='2'><x/></y>c<body>&lt;</body>");
}

#[test]
fn foreign_bytes_do_no_harm() {
    for bytes in [
        "<",
        "<a",
        "<a>",
        "</",
        "<a b='",
        "<!--",
        "\u{0}<\u{0}>",
        "<a></",
        "<a:b/>",
        "<![CDATA[",
    ] {
        let payload = Payload::from_canonical(bytes.as_bytes().to_vec().into());
        payload.children().iter().for_each(|child| drop(payload.element(child)));
        let _ = Stanza::parse(payload.bytes());
    }
}

proptest::proptest! {
    #[test]
    fn writing_then_reading_is_identity(
        name in "message|presence|iq",
        kind in "chat|error|groupchat|get|set|result|subscribe|unavailable|odd",
        id in "[ -~é]{1,8}",
        resource in "[ -~é]{1,8}",
        attribute in " (x|xml:x|p:x xmlns:p='&amp;')",
        payload in "(<a xmlns='u'/>|<body>&lt;</body>|text|<p:b xmlns:p='v' p:c='\"'/>){0,3}",
    ) {
        let mut value = Vec::new();
        xml::escape_attribute(&resource, &mut value);
        let to = String::from_utf8(value).unwrap();
        let mut value = Vec::new();
        xml::escape_attribute(&id, &mut value);
        let id = String::from_utf8(value).unwrap();
        let extra = attribute.replacen('x', "x='1'", 1).replace("'1'mlns", "xmlns").replace("x='1'ml:x", "xml:x='1'");
        let text = format!("<{name} to='a@b/{to}' id='{id}' type='{kind}'{extra}>{payload}</{name}>");
        let stanza = match parse(&text) {
            Ok(stanza) => stanza,
            Err(InvalidStanza::Refused(stanza, _)) => *stanza,
            Err(_) => return Ok(()),
        };
        let again = match parse(&written(&stanza)) {
            Ok(stanza) => stanza,
            Err(InvalidStanza::Refused(stanza, _)) => *stanza,
            Err(error) => panic!("{stanza:?}: {error:?}"),
        };
        proptest::prop_assert_eq!(&again, &stanza);
        proptest::prop_assert_eq!(written(&again), written(&stanza));
    }
}
