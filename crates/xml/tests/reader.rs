//! The reader against what RFC 6120 and the XML recommendations say, and against what attackers send.

mod support;

use dunlin_xml::{Dialect, Element, Error, Event, Limits, Reader};
use support::{HEADER, child, events};

fn name(error: &Error) -> &'static str {
    match error {
        Error::NotWellFormed(_) => "not-well-formed",
        Error::Restricted(_) => "restricted",
        Error::Encoding(_) => "encoding",
        Error::Limit(_) => "limit",
    }
}

fn check(text: impl AsRef<[u8]>, expected: Result<&str, &str>) {
    let text = text.as_ref();
    let found = child(text);
    let found = found.as_deref().map_err(name);
    assert_eq!(
        found,
        expected,
        "{}",
        String::from_utf8_lossy(&text[..text.len().min(200)])
    );
}

#[test]
fn usual_children_are_copied() {
    for text in [
        "<presence/>",
        "<message to='a@b' id=\"1\" xml:lang='en'><body>&lt;&amp;&#65;&#x42; é\u{1F600}</body></message>",
        "<message xmlns='jabber:client'><body/></message>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldA==</auth>",
        "<iq><x:q xmlns:x='urn:x'><x:r x:s='1'/><t xmlns=''/></x:q></iq>",
        "<iq\n ><q xmlns = 'u' ></q ></iq >",
        "<a>&apos;&quot; ' \" > ]] ></a>",
    ] {
        check(text, Ok(text));
    }
}

#[test]
fn unusual_children_are_written_anew() {
    let table = [
        (
            "<stream:error><x xmlns='y'/></stream:error>",
            "<error xmlns='http://etherx.jabber.org/streams'><x xmlns='y'/></error>",
        ),
        (
            "<iq><stream:x/></iq>",
            "<iq><x xmlns='http://etherx.jabber.org/streams'/></iq>",
        ),
        (
            "<iq stream:a='1'/>",
            "<iq xmlns:stream='http://etherx.jabber.org/streams' stream:a='1'/>",
        ),
        ("<iq xmlns:x='u'><x:q/></iq>", "<iq><q xmlns='u'/></iq>"),
        (
            "<iq xmlns:x='u'><q x:a='1' x:b='2'/></iq>",
            "<iq><q xmlns:x='u' x:a='1' x:b='2'/></iq>",
        ),
        ("<c:iq xmlns:c='jabber:client'><c:x/></c:iq>", "<iq><x/></iq>"),
        (
            "<a><![CDATA[<b>&amp;]]]]><![CDATA[>]]></a>",
            "<a>&lt;b&gt;&amp;amp;]]&gt;</a>",
        ),
        ("<a><![CDATA[]]></a>", "<a/>"),
        ("<a>1\r\n2\r3&#13;</a>", "<a>1\n2\n3&#13;</a>"),
        ("<a b='1\n2\t3\r\n4&#10;'/>", "<a b='1 2 3 4&#10;'/>"),
        (
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='x'/>",
            "<a xml:lang='x'/>",
        ),
        ("<a xmlns:x='&amp;'><x:b/></a>", "<a><b xmlns='&amp;'/></a>"),
    ];
    for (text, expected) in table {
        check(text, Ok(expected));
        check(expected, Ok(expected));
    }
}

#[test]
fn other_content_namespaces_are_made_explicit() {
    let table = [
        (
            "xmlns='jabber:server' xmlns:db='jabber:server:dialback'",
            "<message xmlns='jabber:server'><body/></message>",
        ),
        ("xmlns='jabber:client'", "<message><body/></message>"),
        ("", "<message xmlns=''><body/></message>"),
    ];
    for (declarations, expected) in table {
        let text =
            format!("<s:stream xmlns:s='http://etherx.jabber.org/streams' {declarations}><message><body/></message>");
        let (events, error) = events(text.as_bytes(), &[], &Limits::default());
        assert_eq!(
            (&events[1..], error),
            (&[Event::Child(expected.to_owned().into())][..], None)
        );
    }
}

#[test]
fn ill_formed_children() {
    for text in [
        "<a></b>",
        "<a><b></a></b>",
        "</a>",
        "< a/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='1' b='2'/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a>&</a>",
        "<a>& </a>",
        "<a>&;</a>",
        "<a>&#0;</a>",
        "<a>&#xFFFF;</a>",
        "<a b='&#1;'/>",
        "<a>]]></a>",
        "text",
        "&amp;",
        "\u{FEFF}",
        "<a>\u{FFFE}</a>",
        "<a>\u{FFFF}</a>",
        "<a>\u{1}</a>",
        "<a b='\u{8}'/>",
        "<a>\0</a>",
        "<1/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c xmlns:a='u'/>",
        "<x:a/>",
        "<a x:b='1'/>",
        "<a><b xmlns:x='u'/><x:c/></a>",
        "<a xmlns:x=''/>",
        "<a xmlns:xmlns='u'/>",
        "<xmlns:a/>",
        "<a xmlns:xml='u'/>",
        "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:x='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<xml:a/>",
        "<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
        "<a xmlns='u' xmlns='v'/>",
        "<a xmlns:x='u' xmlns:x='v'/>",
        "<a><![cdata[]]></a>",
        "<![CDATA[x]]>",
        "<a/ >",
        "<a / >",
        "<a></a b='1'>",
        "<a></ a>",
        "<>",
        "</>",
        "<a b='1' =''/>",
        "<a <b/>>",
        "<!ELEMENT a>",
        "<a><!ATTLIST b></a>",
    ] {
        check(text, Err("not-well-formed"));
    }
    for bytes in [
        &b"<a>\xFF</a>"[..],
        b"<a>\xC0\xAF</a>",
        b"<a>\xED\xA0\x80</a>",
        b"<a>\xF4\x90\x80\x80</a>",
        b"<a b='\xE2\x82'/>",
        b"<\xC3/>",
    ] {
        check(bytes, Err("not-well-formed"));
    }
}

#[test]
fn restricted_xml() {
    for text in [
        "<!-- c -->",
        "<a><!-- c --></a>",
        "<a><?php x?></a>",
        "<?pi?>",
        "<?xml version='1.0'?>",
        "<!DOCTYPE a>",
        "<a>&nbsp;</a>",
        "<a b='&lol;'/>",
        "<a><!DOCTYPE b></a>",
    ] {
        check(text, Err("restricted"));
    }
}

#[test]
fn entity_bomb() {
    let bomb =
        "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;'>]><stream>&lol2;</stream>";
    let (events, error) = events(bomb.as_bytes(), &[], &Limits::default());
    assert_eq!((events, error), (vec![], Some(Error::Restricted("document type"))));
}

#[test]
fn floods_meet_limits() {
    let attributes: String = (0..65).map(|n| format!(" a{n}='1'")).collect();
    check(format!("<a{attributes}"), Err("limit"));
    check("<a>".repeat(65), Err("limit"));
    check("<a>".repeat(10_000), Err("limit"));
    check(format!("<a>{}", "<b/>".repeat(10_001)), Err("limit"));
    check(format!("<a>{}", "x".repeat(262_144)), Err("limit"));
    check(format!("<a b='{}", ">".repeat(262_144)), Err("limit"));
    check(format!("<{}/>", "a".repeat(257)), Err("limit"));
    check(format!("<a {}='1'/>", "a".repeat(257)), Err("limit"));
    let prefixes = |from: usize| {
        (from..from + 64)
            .map(|n| format!(" xmlns:p{n}='u'"))
            .collect::<String>()
    };
    check(
        format!("<a{}><b{}><c xmlns='u'/></b></a>", prefixes(0), prefixes(64)),
        Err("limit"),
    );
    check(
        "<a>".repeat(64) + &"</a>".repeat(64),
        Ok(&("<a>".repeat(64) + &"</a>".repeat(64))),
    );
    let largest = format!("<a>{}</a>", "x".repeat(262_144 - 7));
    check(&largest, Ok(&largest));
    check(format!("<a>{}</a>", "x".repeat(262_144 - 6)), Err("limit"));
}

#[test]
fn headers() {
    let good = [
        "<?xml version='1.0' encoding='utf-8' standalone=\"yes\"?>\n<stream xmlns='a'>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:stream xmlns:s='a' s:b='1'>",
        " \n<stream>",
        "<?xml version='1.0' ?><stream to='x'>",
    ];
    for text in good {
        assert!(
            matches!(events(text.as_bytes(), &[], &Limits::default()), (events, None) if events.len() == 1),
            "{text}"
        );
    }
    let bad = [
        ("<?xml version='1.0' encoding='latin1'?><s>", "encoding"),
        ("<?xml version='1.1'?><s>", "not-well-formed"),
        ("<?xml encoding='utf-8'?><s>", "not-well-formed"),
        ("<?xml encoding='utf-8' version='1.0'?><s>", "not-well-formed"),
        ("<?xml version='1.0' a='b'?><s>", "not-well-formed"),
        ("<?xml?><s>", "restricted"),
        ("<?xml-stylesheet href='x'?><s>", "restricted"),
        (" <?xml version='1.0'?><s>", "restricted"),
        ("<?xml version='1.0'?><?xml version='1.0'?><s>", "restricted"),
        ("<!-- --><s>", "restricted"),
        ("<!DOCTYPE s><s>", "restricted"),
        ("<![CDATA[ ]]><s>", "not-well-formed"),
        ("\u{FEFF}<s>", "not-well-formed"),
        ("GET / HTTP/1.1\r\n", "not-well-formed"),
        ("\u{16}\u{3}\u{1}", "not-well-formed"),
        ("</s>", "not-well-formed"),
        ("<s:s>", "not-well-formed"),
        ("<s a='1' a='2'>", "not-well-formed"),
        ("<s \u{1}>", "not-well-formed"),
    ];
    for (text, expected) in bad {
        let (events, error) = events(text.as_bytes(), &[], &Limits::default());
        assert_eq!((events, error.as_ref().map(name)), (vec![], Some(expected)), "{text}");
    }
}

#[test]
fn opens_say_what_was_asked() {
    let text = "<stream:stream to='im&amp;example' xml:lang='de' stream:x='y' version='1.0' xmlns='jabber:client' \
                xmlns:stream='http://etherx.jabber.org/streams'/> ";
    let (events, error) = events(text.as_bytes(), &[], &Limits::default());
    assert_eq!(error, None);
    let [Event::Open(open), Event::Close] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (open.ns.as_str(), open.name.as_str()),
        ("http://etherx.jabber.org/streams", "stream")
    );
    assert_eq!(open.content_ns, "jabber:client");
    assert_eq!(open.attribute("to"), Some("im&example"));
    assert_eq!(open.attribute("xml:lang"), Some("de"));
    assert_eq!(open.attributes.len(), 3);
}

#[test]
fn ends_of_streams() {
    for (text, closes) in [
        ("</stream:stream>", true),
        ("</stream:stream \n> ", true),
        ("</stream>", false),
        ("</ stream:stream>", false),
    ] {
        let text = format!("{HEADER}{text}");
        let (events, error) = events(text.as_bytes(), &[], &Limits::default());
        assert_eq!(
            (events.last() == Some(&Event::Close), error.is_none()),
            (closes, closes),
            "{text}"
        );
    }
    let text = format!("{HEADER}</stream:stream><a/>");
    assert_eq!(
        events(text.as_bytes(), &[], &Limits::default()).1.as_ref().map(name),
        Some("not-well-formed")
    );
}

#[test]
fn white_space_is_reported_once_and_nothing_is_held() {
    let mut reader = Reader::new(Limits::default());
    reader.receive(format!("{HEADER}  <a/>\n<b/> ").as_bytes());
    let mut kinds = Vec::new();
    while let Some(event) = reader.poll().unwrap() {
        kinds.push(matches!(event, Event::Whitespace));
    }
    assert_eq!(kinds, [false, true, false, false]);
    reader.receive(b" ");
    assert_eq!(reader.poll(), Ok(Some(Event::Whitespace)));
    assert_eq!(reader.poll(), Ok(None));
    assert_eq!(reader.buffered(), 0);
}

#[test]
fn restarts_forget_everything() {
    let mut reader = Reader::new(Limits::default());
    reader.receive(format!("{HEADER}<a").as_bytes());
    while reader.poll().unwrap().is_some() {}
    reader.restart();
    reader.receive(HEADER.as_bytes());
    assert!(matches!(reader.poll(), Ok(Some(Event::Open(_)))));
    reader.receive(b"<!");
    reader.receive(b"-- ");
    assert!(reader.poll().is_err());
    reader.restart();
    reader.receive(HEADER.as_bytes());
    assert!(matches!(reader.poll(), Ok(Some(Event::Open(_)))));
}

#[test]
fn limits_change_between_children() {
    let mut reader = Reader::new(Limits {
        stanza_bytes: 200,
        ..Limits::default()
    });
    reader.receive(format!("{HEADER}<a>").as_bytes());
    while reader.poll().unwrap().is_some() {}
    reader.set_limits(Limits {
        stanza_bytes: 10,
        ..Limits::default()
    });
    reader.receive(b"0123456789</a><a>012</a><a>0123</a>");
    assert_eq!(reader.poll(), Ok(Some(Event::Child("<a>0123456789</a>".into()))));
    assert_eq!(reader.poll(), Ok(Some(Event::Child("<a>012</a>".into()))));
    assert_eq!(reader.poll(), Err(Error::Limit("stanza size")));
}

#[test]
fn elements_stand_alone() {
    let limits = Limits::default();
    let parse = |text: &str| Element::parse(text.as_bytes(), "u", &limits);
    assert!(parse(" <a/>\n").unwrap().is("u", "a"));
    for text in [
        "",
        " ",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a>",
        "<a/>&amp;",
        "<a/><![CDATA[ ]]>",
        "<?xml version='1.0'?><a/>",
        "\u{FEFF}<a/>",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let tree = parse("<a b='&quot;'>x&amp;<![CDATA[y]]><c xmlns='v' xmlns:p='w' p:q='1' r='2'/></a>").unwrap();
    assert_eq!(tree.content(), "x&y");
    assert_eq!(tree.attribute("b"), Some("\""));
    let inner = tree.child("v", "c").unwrap();
    assert_eq!(
        inner.attributes().collect::<Vec<_>>(),
        [("xmlns:p", "w"), ("p:q", "1"), ("r", "2")]
    );
    assert_eq!(
        tree.to_string(),
        "<a xmlns='u' b='&quot;'>x&amp;y<c xmlns='v' xmlns:p='w' p:q='1' r='2'/></a>"
    );
}

/// The content namespace of another dialect is another name for that of clients, wherever it is declared.
#[test]
fn a_dialect_is_read_as_that_of_clients() {
    let read = |children: &str, header: &str| {
        let mut reader = Reader::new(Limits::default()).of_dialect(Dialect::Component);
        reader.receive(b"<?xml version='1.0'?>");
        reader.receive(header.as_bytes());
        reader.receive(children.as_bytes());
        match (reader.poll().unwrap(), reader.poll().unwrap()) {
            (Some(Event::Open(open)), Some(Event::Child(child))) => {
                (open.content_ns, String::from_utf8(child.to_vec()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    };
    let plain = "<s:s xmlns='jabber:component:accept' xmlns:s='urn:example:s' xmlns:d='jabber:component:accept'>";
    for (children, expected) in [
        ("<message><body>a</body></message>", "<message><body>a</body></message>"),
        ("<message xmlns='jabber:component:accept'/>", "<message/>"),
        ("<d:message/>", "<message/>"),
        (
            "<a xmlns='urn:a'><message xmlns='jabber:component:accept'><body/></message></a>",
            "<a xmlns='urn:a'><message xmlns='jabber:client'><body/></message></a>",
        ),
        ("<x:a xmlns:x='urn:a'/>", "<a xmlns='urn:a'/>"),
    ] {
        let (content, child) = read(children, plain);
        assert_eq!(
            (content.as_str(), child.as_str()),
            ("jabber:component:accept", expected)
        );
    }
}
