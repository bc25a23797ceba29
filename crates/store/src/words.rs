//! The words of what was said, by which it is found again. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use stanza::{Stanza, ns};
use unicode_segmentation::UnicodeSegmentation;

/// Characters of a word that count; what differs beyond is the same word.
const LENGTH: usize = 64;
/// Different words of one message that it is found by; the first ones.
const WORDS: usize = 1_000;

/// The different words of a text: parted as Unicode has it (UAX #29), and all in lower case.
pub fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for word in text.unicode_words() {
        if words.len() == WORDS {
            break;
        }
        words.insert(word.chars().flat_map(char::to_lowercase).take(LENGTH).collect());
    }
    words
}

/// The words of the bodies of a message (RFC 6121, 5.2.3), as it stands in a log; none of anything else.
pub fn words_said(stanza: &Bytes) -> BTreeSet<String> {
    let Ok(Stanza::Message(message)) = Stanza::parse(stanza) else {
        return BTreeSet::new();
    };
    let payload = &message.payload;
    let bodies = payload.children().iter().filter(|child| child.is(ns::CLIENT, "body"));
    let bodies = bodies.filter_map(|body| payload.element(body));
    let text = bodies.map(|body| body.content()).collect::<Vec<_>>().join("\n");
    words(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: &BTreeSet<String>, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(*found, expected);
    }

    #[test]
    fn a_text_has_words() {
        check(&words(""), &[]);
        check(&words(" … --- !"), &[]);
        check(
            &words("Wherefore art thou, ROMEO? Romeo!"),
            &["art", "romeo", "thou", "wherefore"],
        );
        check(&words("Don't pay 1,50 €"), &["1,50", "don't", "pay"]);
        check(&words("Größe ГРОМ Ωμέγα"), &["größe", "гром", "ωμέγα"]);
        check(&words("東京"), &["東", "京"]);
        check(&words(&"x".repeat(100)), &[&"x".repeat(64)]);
    }

    #[test]
    fn one_message_has_not_too_many() {
        let text: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
        assert_eq!(words(&text.join(" ")).len(), WORDS);
    }

    #[test]
    fn words_are_of_the_bodies() {
        for (stanza, expected) in [
            (
                "<message><body>Art thou</body><subject>Night</subject></message>",
                &["art", "thou"][..],
            ),
            (
                "<message><body>yes</body><body xml:lang='it'>s&#xec; &amp; no</body></message>",
                &["no", "sì", "yes"],
            ),
            ("<message><x xmlns='a'><body>no</body></x></message>", &[]),
            ("<presence><body>no</body></presence>", &[]),
            ("no stanza", &[]),
        ] {
            check(&words_said(&Bytes::from_static(stanza.as_bytes())), expected);
        }
    }
}
