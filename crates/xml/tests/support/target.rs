//! What is checked of any input; the fuzz target `xml` runs the same code.

use dunlin_xml::{Element, Error, Event, Limits, Reader, fragment};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:s='urn:s'>";
const FOOTER: &str = "</stream:stream>";

/// The first byte says how the others are cut into pieces.
pub(crate) fn run(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    check(bytes, &(0..bytes.len()).step_by(step).collect::<Vec<_>>());
    let _ = read(bytes, &[]); // as a stream of its own
    for child in fragment::children(bytes, "jabber:client") {
        let _ = (
            child.tag.ns(),
            child
                .tag
                .attributes()
                .map(|attribute| attribute.value().len())
                .sum::<usize>(),
        );
        assert!(bytes.get(child.range).is_some());
    }
}

/// Checks `bytes` as what follows a stream header.
pub(crate) fn check(bytes: &[u8], cuts: &[usize]) {
    let bytes = [HEADER.as_bytes(), bytes].concat();
    let cuts: Vec<_> = cuts.iter().map(|cut| cut + HEADER.len()).collect();
    let whole = read(&bytes, &[]);
    assert_eq!(whole, read(&bytes, &cuts), "splitting changes nothing");
    let all: Vec<_> = (0..bytes.len()).collect();
    assert_eq!(whole, read(&bytes, &all), "splitting changes nothing");
    let (events, error) = whole;
    for event in &events {
        if let Event::Child(child) = event {
            canonical(child);
        }
    }
    if error.is_none() {
        agrees(&bytes, &events);
    }
}

/// All events but white space, and how it ended.
fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(Limits::default());
    let mut events = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let to = to.clamp(from, bytes.len());
        reader.receive(&bytes[from..to]);
        from = to;
        loop {
            match reader.poll() {
                Ok(Some(Event::Whitespace)) => {}
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// A canonical child reads back as itself, and so does each child of it, taken alone.
fn canonical(child: &[u8]) {
    let limits = Limits::default();
    let element = Element::parse(child, "jabber:client", &limits).expect("a child is an element");
    assert_eq!(element.to_string().parse_back(), element);
    let tag = fragment::root(child, "jabber:client").expect("a child has a start tag");
    assert_eq!((&*tag.ns(), tag.name()), (element.ns(), element.name()));
    let default_ns = tag.declared("").unwrap_or("jabber:client".into());
    let content = &child[tag.content()];
    let inner: Vec<_> = fragment::children(content, &default_ns)
        .map(|child| child.range)
        .collect();
    assert_eq!(inner.len(), element.children().count());
    for (range, expected) in inner.into_iter().zip(element.children()) {
        let alone = Element::parse(&content[range], &default_ns, &limits).expect("stands alone");
        assert_eq!(&alone, expected);
    }
}

trait ParseBack {
    fn parse_back(&self) -> Element;
}

impl ParseBack for String {
    fn parse_back(&self) -> Element {
        Element::parse(self.as_bytes(), "jabber:client", &Limits::default()).expect("written elements can be read")
    }
}

/// A second parser takes the accepted part of the document, too, and finds the same names, attributes and texts.
fn agrees(bytes: &[u8], events: &[Event]) {
    let children: Vec<_> = events
        .iter()
        .filter_map(|event| {
            if let Event::Child(child) = event {
                Some(child)
            } else {
                None
            }
        })
        .collect();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let is_closed = events.last() == Some(&Event::Close);
    let whole = if is_closed {
        text.to_owned()
    } else {
        format!("{text}{FOOTER}")
    };
    // The second parser mistakes a carriage return before a reference to another; what we pass on has none.
    if whole.contains('\r') {
        return children.iter().for_each(|child| agrees_alone(child));
    }
    // An incomplete child at the end is no document; then each child is compared alone.
    if let Ok(document) = roxmltree::Document::parse(&whole) {
        let theirs: Vec<_> = document
            .root_element()
            .children()
            .filter(roxmltree::Node::is_element)
            .collect();
        assert_eq!(theirs.len(), children.len());
        for (ours, theirs) in children.iter().zip(theirs) {
            same(
                &Element::parse(ours, "jabber:client", &Limits::default()).expect("a child is an element"),
                theirs,
            );
        }
    } else {
        assert!(!is_closed, "the second parser refuses {whole}");
    }
    children.iter().for_each(|child| agrees_alone(child));
}

fn agrees_alone(child: &[u8]) {
    let text = std::str::from_utf8(child).expect("canonical form is UTF-8");
    let wrapped = format!("<w xmlns='jabber:client'>{text}</w>");
    let document = roxmltree::Document::parse(&wrapped).expect("the second parser takes every child");
    let ours = Element::parse(child, "jabber:client", &Limits::default()).expect("a child is an element");
    same(&ours, document.root_element().first_element_child().expect("one child"));
}

fn same(ours: &Element, theirs: roxmltree::Node<'_, '_>) {
    assert_eq!(
        (ours.ns(), ours.name()),
        (
            theirs.tag_name().namespace().unwrap_or_default(),
            theirs.tag_name().name()
        )
    );
    let attributes: Vec<_> = ours
        .attributes()
        .filter(|(name, _)| !name.starts_with("xmlns:"))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(
        attributes,
        theirs
            .attributes()
            .map(|attribute| attribute.value())
            .collect::<Vec<_>>()
    );
    let text: String = theirs
        .children()
        .filter(roxmltree::Node::is_text)
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(ours.content(), text);
    let inner: Vec<_> = theirs.children().filter(roxmltree::Node::is_element).collect();
    assert_eq!(ours.children().count(), inner.len());
    ours.children().zip(inner).for_each(|(ours, theirs)| same(ours, theirs));
}
