//! What is checked of any text taken for an address; the fuzz target `jid` runs the same code.

use dunlin_stanza::{Bare, Full, Jid};

/// Reads `data` as an address.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check(&text);
    let _ = Jid::from_parts(Some(&text), "example.com", None).map(|jid| stable(&jid));
    let _ = Jid::from_parts(None, &text, None).map(|jid| stable(&jid));
    let _ = Jid::from_parts(None, "example.com", Some(&text)).map(|jid| stable(&jid));
}

/// Reads `text` as an address.
pub(crate) fn check(text: &str) {
    if let Ok(jid) = Jid::parse(text) {
        stable(&jid);
    }
}

/// A prepared address is prepared: it reads back as itself, and so do its parts.
fn stable(jid: &Jid) {
    assert_eq!(
        Jid::parse(jid.as_str()).map(|again| again.to_string()),
        Ok(jid.to_string())
    );
    assert_eq!(
        Jid::from_parts(jid.local(), jid.domain(), jid.resource()).as_ref(),
        Ok(jid)
    );
    assert_eq!(Bare::parse(jid.bare().as_str()), Ok(jid.bare()));
    if let Some(full) = jid.full() {
        assert_eq!(Full::parse(jid.as_str()).as_ref(), Ok(&full));
        assert_eq!(jid.bare().with_resource(full.resource()), Ok(full));
    }
    for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
        assert!((1..=1023).contains(&part.len()), "{part}");
    }
}
