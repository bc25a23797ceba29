//! A stream that has been opened, and what it yields.

use dunlin_xml::{Error, Event, Limits, Reader};

pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                                 xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// The events of `bytes` given in pieces that end at `cuts`, without white space, and how it ended.
pub(crate) fn events(bytes: &[u8], cuts: &[usize], limits: &Limits) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(limits.clone());
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
                Err(error) => {
                    assert_eq!(reader.poll(), Ok(None), "nothing after an error");
                    assert_eq!(reader.buffered(), 0);
                    return (events, Some(error));
                }
            }
        }
        assert!(reader.buffered() <= limits.stanza_bytes);
    }
    (events, None)
}

/// The canonical form of the first child of a usual stream.
pub(crate) fn child(text: impl AsRef<[u8]>) -> Result<String, Error> {
    let bytes = [HEADER.as_bytes(), text.as_ref()].concat();
    match events(&bytes, &[], &Limits::default()) {
        (_, Some(error)) => Err(error),
        (events, None) => match events.get(1) {
            Some(Event::Child(child)) => Ok(String::from_utf8(child.to_vec()).expect("canonical form is UTF-8")),
            other => panic!("no child in {}: {other:?}", String::from_utf8_lossy(text.as_ref())),
        },
    }
}
