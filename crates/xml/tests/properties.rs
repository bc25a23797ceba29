//! What must hold for any input: splitting changes nothing, writing then reading neither, and a second parser agrees.

#[path = "support/target.rs"]
mod target;

use dunlin_xml::{Element, Limits, Node};
use proptest::prelude::*;

/// Pieces that markup is made of, some of them wrong.
const PIECES: &[&str] = &[
    "<a>",
    "</a>",
    "<a/>",
    "<b>",
    "</b>",
    "<x:a>",
    "</x:a>",
    "<x:a/>",
    "<a",
    " xmlns='u'",
    " xmlns='jabber:client'",
    " xmlns:x='v'",
    " xmlns:x='http://www.w3.org/XML/1998/namespace'",
    " xml:lang='de'",
    " x:b='1'",
    " b='1'",
    " b=\"'\"",
    " xmlns=''",
    "/>",
    ">",
    "<",
    "text",
    " ",
    "\r\n",
    "\t",
    "&amp;",
    "&#65;",
    "&#x0;",
    "&lol;",
    "&",
    "<![CDATA[",
    "]]>",
    "]]",
    "<!--",
    "-->",
    "<?",
    "?>",
    "é",
    "\u{FFFE}",
    "</stream:stream>",
    "<stream:error/>",
    " stream:c='2'",
    " s:b='1'",
    "<s:a>",
    "</s:a>",
    "<message to='a@b'><body>x</body></message>",
];

fn markup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_é][a-z0-9._é-]{0,5}".prop_filter("declarations are no attributes", |name| name != "xmlns")
}

fn text() -> impl Strategy<Value = String> {
    prop::string::string_regex("[ -~\\t\\n\\r\u{85}\u{2028}éß漢\u{1F600}]{1,12}").expect("a regular expression")
}

fn element() -> impl Strategy<Value = Element> {
    let leaf = (
        prop::sample::select(vec!["", "jabber:client", "urn:a", "urn:b'&<"]),
        name(),
        prop::collection::btree_map(name(), text(), 0..4),
    );
    let leaf = leaf.prop_map(|(ns, name, attributes)| {
        attributes
            .into_iter()
            .fold(Element::new(ns, name), |element, (name, value)| {
                element.with(name, value)
            })
    });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let node = prop_oneof![inner.clone().prop_map(Node::Element), text().prop_map(Node::Text)];
        (inner, prop::collection::vec(node, 0..4)).prop_map(|(parent, nodes)| nodes.into_iter().fold(parent, append))
    })
}

/// Neighbouring texts read back as one, so none are made.
fn append(parent: Element, node: Node) -> Element {
    match (node, parent.nodes().last()) {
        (Node::Element(child), _) => parent.push(child),
        (Node::Text(_), Some(Node::Text(_))) => parent,
        (Node::Text(text), _) => parent.text(text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_markup(bytes in markup(), cuts in prop::collection::vec(0..200usize, 0..6)) {
        target::check(&bytes, &cuts);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        target::check(&bytes, &[1, 2, 3, 50]);
    }

    #[test]
    fn writing_then_reading_is_identity(element in element()) {
        for default_ns in ["jabber:client", "urn:a", ""] {
            let mut out = Vec::new();
            element.write(default_ns, &mut out);
            let read = Element::parse(&out, default_ns, &Limits::default());
            prop_assert_eq!(read.as_ref(), Ok(&element));
        }
    }
}

#[test]
fn every_split_of_a_session() {
    let session = "<message to='a@b' xml:lang='en'><body>&lt;é\u{1F600}</body><x:y xmlns:x='u' x:z=\"'\"/></message>\n\
                   <stream:features/><a><![CDATA[]]]]></a> <presence/></stream:stream>";
    for cut in 0..session.len() {
        target::check(session.as_bytes(), &[cut]);
    }
    target::check(session.as_bytes(), &(0..session.len()).collect::<Vec<_>>());
}

#[test]
fn seeds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds/xml");
    let mut count = 0;
    for seed in std::fs::read_dir(folder).unwrap() {
        target::run(&std::fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 5);
}
