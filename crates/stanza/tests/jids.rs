//! Addresses: the tables of RFC 7622, 3.5, and what must hold for any text.

#[path = "support/target.rs"]
mod target;

use dunlin_stanza::{Bare, Full, InvalidJid, Jid};
use proptest::prelude::*;

#[test]
fn valid_addresses() {
    let table = [
        // RFC 7622, table 1
        ("juliet@example.com", (Some("juliet"), "example.com", None)),
        ("juliet@example.com/foo", (Some("juliet"), "example.com", Some("foo"))),
        (
            "juliet@example.com/foo bar",
            (Some("juliet"), "example.com", Some("foo bar")),
        ),
        (
            "juliet@example.com/foo@bar",
            (Some("juliet"), "example.com", Some("foo@bar")),
        ),
        ("foo\\20bar@example.com", (Some("foo\\20bar"), "example.com", None)),
        ("fussball@example.com", (Some("fussball"), "example.com", None)),
        ("fußball@example.com", (Some("fußball"), "example.com", None)),
        ("π@example.com", (Some("π"), "example.com", None)),
        ("Σ@example.com/foo", (Some("σ"), "example.com", Some("foo"))),
        ("ς@example.com/foo", (Some("ς"), "example.com", Some("foo"))),
        ("king@example.com/♚", (Some("king"), "example.com", Some("♚"))),
        ("example.com", (None, "example.com", None)),
        ("example.com/foobar", (None, "example.com", Some("foobar"))),
        (
            "a.example.com/b@example.net",
            (None, "a.example.com", Some("b@example.net")),
        ),
        // Preparation
        (
            "JULIET@Example.COM/Balcony",
            (Some("juliet"), "example.com", Some("Balcony")),
        ),
        ("example.com./x", (None, "example.com", Some("x"))),
        ("ＪＵＬＩＥＴ@example.com", (Some("juliet"), "example.com", None)),
        ("a@BÜCHER.example", (Some("a"), "bücher.example", None)),
        ("xn--bcher-kva.example", (None, "bücher.example", None)),
        ("XN--BCHER-KVA.example", (None, "bücher.example", None)),
        ("a@例え。テスト", (Some("a"), "例え.テスト", None)),
        ("a@b。", (Some("a"), "b", None)),
        ("a@b/x\u{A0}y", (Some("a"), "b", Some("x y"))),
        ("e\u{301}@b/e\u{301}", (Some("é"), "b", Some("é"))),
        ("a@127.0.0.1", (Some("a"), "127.0.0.1", None)),
        ("a@[2001:DB8:0::1]/r", (Some("a"), "[2001:db8::1]", Some("r"))),
        ("a@b/c/d", (Some("a"), "b", Some("c/d"))),
        ("אב@example.com", (Some("אב"), "example.com", None)),
    ];
    for (text, (local, domain, resource)) in table {
        let jid = Jid::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            (jid.local(), jid.domain(), jid.resource()),
            (local, domain, resource),
            "{text}"
        );
        assert_eq!(jid.is_bare(), resource.is_none());
        target::check(text);
    }
}

#[test]
fn invalid_addresses() {
    let table = [
        // RFC 7622, table 2
        ("\"juliet\"@example.com", "local"),
        ("foo bar@example.com", "local"),
        ("@example.com/", "local"),
        ("henryⅣ@example.com", "local"),
        ("♚@example.com", "local"),
        ("juliet@", "domain"),
        ("/foobar", "domain"),
        // More
        ("", "domain"),
        ("a@b@c", "domain"),
        ("@b", "local"),
        ("a@b/", "resource"),
        ("a&b@c", "local"),
        ("a'b@c", "local"),
        ("a:b@c", "local"),
        ("a<b@c", "local"),
        ("a>b@c", "local"),
        ("a＠b@c", "local"),
        ("a／b@c", "local"),
        ("a\t@b", "local"),
        ("a\u{7F}@b", "local"),
        ("a\u{AD}@b", "local"),
        ("a\u{200B}@b", "local"),
        ("אa@example.com", "local"),
        ("a@b/\u{7}", "resource"),
        ("a@b/\u{AD}", "resource"),
        ("a@b/\n", "resource"),
        ("a@.", "domain"),
        ("a@b..c", "domain"),
        ("a@.b", "domain"),
        ("a@b..", "domain"),
        ("a@-b", "domain"),
        ("a@b-", "domain"),
        ("a@b_c", "domain"),
        ("a@b c", "domain"),
        ("a@b%20c", "domain"),
        ("a@xn--a", "domain"),
        ("a@xn--\u{FC}", "domain"),
        ("a@[::1", "domain"),
        ("a@::1", "domain"),
        ("a@[127.0.0.1]", "domain"),
        ("a@[fe80::1%eth0]", "domain"),
        ("a@b\u{200D}c", "domain"),
    ];
    for (text, part) in table {
        assert_eq!(Jid::parse(text), Err(InvalidJid { part }), "{text:?}");
    }
}

#[test]
fn lengths() {
    let check = |local: usize, domain: usize, resource: usize, multiplied: &str| {
        let label = "abcdefghi.".repeat(102);
        let domain = &(label + "abcdef")[..domain];
        Jid::from_parts(
            Some(&multiplied.repeat(local)),
            domain,
            Some(&multiplied.repeat(resource)),
        )
        .map(|jid| jid.as_str().len())
    };
    assert_eq!(check(1023, 1023, 1023, "a"), Ok(3 * 1023 + 2));
    assert_eq!(check(1024, 5, 5, "a"), Err(InvalidJid { part: "local" }));
    assert_eq!(check(5, 1024, 5, "a"), Err(InvalidJid { part: "domain" }));
    assert_eq!(check(5, 5, 1024, "a"), Err(InvalidJid { part: "resource" }));
    assert_eq!(check(511, 5, 511, "é"), Ok(2 * 1022 + 2 + 5));
    assert_eq!(check(512, 5, 5, "é"), Err(InvalidJid { part: "local" }));
    assert_eq!(Jid::parse(&"a".repeat(64)), Err(InvalidJid { part: "domain" }));
}

#[test]
fn parts_share_and_compare() {
    let jid = Jid::parse("a@b/c").unwrap();
    let bare = jid.bare();
    assert_eq!(bare, Bare::parse("A@B").unwrap());
    assert!(Bare::parse("a@b/c").is_err() && Full::parse("a@b").is_err());
    assert_eq!(bare.jid().full(), None);
    assert_eq!(bare.with_resource("x").unwrap().as_str(), "a@b/x");
    let hash = |jid: &Jid| {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        BuildHasherDefault::<DefaultHasher>::default().hash_one(jid)
    };
    assert_eq!(hash(&bare), hash(&Jid::parse("a@b").unwrap()));
}

#[test]
fn seeds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/seeds/jid");
    for seed in std::fs::read_dir(folder).unwrap() {
        target::run(&std::fs::read(seed.unwrap().path()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_text(text in "\\PC{0,12}") {
        target::run(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        target::run(&bytes);
    }

    #[test]
    fn any_characters(local in prop::collection::vec(any::<char>(), 1..4), domain in "[a-zA-Z0-9.ßü。١ａ-ｚ\u{5d0}-\u{5ea}-]{1,8}") {
        target::check(&format!("{}@{domain}/{}", local.iter().collect::<String>(), local.iter().rev().collect::<String>()));
        target::check(&format!("xn--{domain}"));
    }
}
