//! Writing text so that it reads back the same.

/// Appends `text` escaped for element content.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, false);
}

/// Appends `value` escaped for an attribute in single quotes.
pub fn escape_attribute(value: &str, out: &mut Vec<u8>) {
    escape(value, out, true);
}

fn escape(text: &str, out: &mut Vec<u8>, attribute: bool) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity: &[u8] = match byte {
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'&' => b"&amp;",
            b'\r' => b"&#13;",
            b'\'' if attribute => b"&apos;",
            b'"' if attribute => b"&quot;",
            b'\t' if attribute => b"&#9;",
            b'\n' if attribute => b"&#10;",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        out.extend_from_slice(entity);
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
}
