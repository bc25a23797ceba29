//! Whole exchanges: our client's side against the server's, and clients that do it wrong.

use dunlin_sasl::client::{self, Binding, Keys, Scram};
use dunlin_sasl::{Exchange, Lookup, Mechanism, Policy, Start, Step, verifiers};
use stanza::{Bare, Peer, SaslFailure, TlsFacts};
use store::{HashName, Verifier};

const PLUS: &[&str] = &[
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "SCRAM-SHA-512",
    "PLAIN",
    "EXTERNAL",
];
const BARE: &[&str] = &["SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-512", "PLAIN"];
const EXPORTER: [u8; 32] = [7; 32];

#[test]
fn scram_of_each_hash_and_binding() {
    let cases = [
        ("SCRAM-SHA-1", BARE, Binding::Unsupported),
        ("SCRAM-SHA-256", BARE, Binding::Unsupported),
        ("SCRAM-SHA-512", BARE, Binding::Unsupported),
        ("SCRAM-SHA-256", BARE, Binding::NotOffered),
        ("SCRAM-SHA-256", PLUS, Binding::Unsupported),
        ("SCRAM-SHA-256-PLUS", PLUS, bound("tls-exporter", &EXPORTER)),
        ("SCRAM-SHA-256-PLUS", PLUS, bound("tls-server-end-point", b"hash")),
    ];
    for (mechanism, offered, binding) in cases {
        assert_eq!(
            play_bound(mechanism, offered, &binding),
            Ok(()),
            "{mechanism} {binding:?}"
        );
    }
}

#[test]
fn scram_of_wrong_binding() {
    let cases = [
        (
            "somebody has shortened the list",
            "SCRAM-SHA-256",
            PLUS,
            Binding::NotOffered,
        ),
        (
            "somebody is in the middle",
            "SCRAM-SHA-256-PLUS",
            PLUS,
            bound("tls-exporter", &[8; 32]),
        ),
        ("no data", "SCRAM-SHA-256-PLUS", PLUS, bound("tls-exporter", b"")),
        (
            "an unsafe type",
            "SCRAM-SHA-256-PLUS",
            PLUS,
            bound("tls-unique", &EXPORTER),
        ),
        (
            "an unknown type",
            "SCRAM-SHA-256-PLUS",
            PLUS,
            bound("tls-what", &EXPORTER),
        ),
        ("bound, and not", "SCRAM-SHA-256-PLUS", PLUS, Binding::Unsupported),
        (
            "bound, and not offered",
            "SCRAM-SHA-256-PLUS",
            PLUS,
            Binding::NotOffered,
        ),
        (
            "not bound, and bound",
            "SCRAM-SHA-256",
            PLUS,
            bound("tls-exporter", &EXPORTER),
        ),
    ];
    for (what, mechanism, offered, binding) in cases {
        assert_eq!(
            play_bound(mechanism, offered, &binding),
            Err(SaslFailure::NotAuthorized),
            "{what}"
        );
    }
    let not_offered = play_bound("SCRAM-SHA-256-PLUS", BARE, &bound("tls-exporter", &EXPORTER));
    assert_eq!(not_offered, Err(SaslFailure::InvalidMechanism));
}

/// XEP-0474: what a client was shown less than was offered gives another hash.
#[test]
fn scram_tells_what_was_offered() {
    let challenge = |offered: &[&str]| {
        let Step::Lookup(lookup) = start("SCRAM-SHA-1", offered, Some(b"n,,n=juliet,r=abc".to_vec())) else {
            panic!("no lookup")
        };
        let Step::Challenge(_, data) = found(lookup) else {
            panic!("no challenge")
        };
        let text = String::from_utf8(data.to_vec()).expect("UTF-8");
        let hash = text
            .split(',')
            .find_map(|part| part.strip_prefix("h=").map(str::to_owned));
        hash.expect("a hash")
    };
    assert_eq!(
        challenge(&["SCRAM-SHA-1", "PLAIN"]),
        challenge(&["PLAIN", "SCRAM-SHA-1"])
    );
    assert_ne!(challenge(&["SCRAM-SHA-1", "PLAIN"]), challenge(&["SCRAM-SHA-1"]));
}

#[test]
fn scram_names() {
    let cases: &[(&str, Option<&str>, Option<SaslFailure>)] = &[
        ("juliet", Some("juliet@a.example"), None),
        ("Juliet", None, None), // localparts do not know case
        ("juliet", Some("Juliet@A.example"), None),
        ("juliet", Some("romeo@a.example"), Some(SaslFailure::InvalidAuthzid)),
        ("juliet", Some("juliet@b.example"), Some(SaslFailure::InvalidAuthzid)),
        ("juliet", Some("juliet@a.example/x"), Some(SaslFailure::InvalidAuthzid)),
        ("juliet", Some("@"), Some(SaslFailure::InvalidAuthzid)),
        ("a,b=c", None, Some(SaslFailure::NotAuthorized)), // no account of that name; read and escaped, though
        ("romeo@b.example", None, Some(SaslFailure::NotAuthorized)),
        ("nobody", None, Some(SaslFailure::NotAuthorized)),
    ];
    for (username, authzid, expected) in cases {
        let scram = Scram::new(HashName::Sha1, username, *authzid, Binding::Unsupported, "abc");
        let given = play(scram, HashName::Sha1, "SCRAM-SHA-1", BARE, "pencil", |message| message);
        assert_eq!(given.err(), *expected, "{username} {authzid:?}");
    }
}

#[test]
fn scram_tampered() {
    let cases: &[(&str, &str, &str, SaslFailure)] = &[
        ("the nonce, shortened", ",r=abc", ",r=ab", SaslFailure::NotAuthorized),
        (
            "the nonce, only the client's",
            "bm9uY2Vub25jZW5vbmNl",
            "",
            SaslFailure::NotAuthorized,
        ),
        (
            "the nonce, the server's changed",
            "bm9uY2V",
            "bm9uY2W",
            SaslFailure::NotAuthorized,
        ),
        ("the header: y for n", "c=biws", "c=eSws", SaslFailure::NotAuthorized),
        (
            "the header: not base64",
            "c=biws",
            "c=biw",
            SaslFailure::MalformedRequest,
        ),
        ("the proof: bits", ",p=", ",p=AAAA", SaslFailure::NotAuthorized),
        ("the proof: none", ",p=", ",q=", SaslFailure::MalformedRequest),
        ("the proof: not base64", ",p=", ",p=!", SaslFailure::MalformedRequest),
        (
            "an extension that is not signed",
            ",p=",
            ",x=1,p=",
            SaslFailure::NotAuthorized,
        ),
        (
            "an extension that must be understood",
            ",p=",
            ",m=1,p=",
            SaslFailure::MalformedRequest,
        ),
        ("the order", "c=biws,", "", SaslFailure::MalformedRequest),
    ];
    for (what, from, to, expected) in cases {
        let scram = Scram::new(HashName::Sha1, "juliet", None, Binding::Unsupported, "abc");
        let tamper = |message: String| {
            let changed = message.replacen(from, to, 1);
            assert_ne!(changed, message, "{what}");
            changed
        };
        let given = play(scram, HashName::Sha1, "SCRAM-SHA-1", BARE, "pencil", tamper);
        assert_eq!(given.err(), Some(*expected), "{what}");
    }
    for message in ["", "c=biws", "c=biws,r=abc", ",,,", "p=", "c=,r=,p="] {
        let scram = Scram::new(HashName::Sha1, "juliet", None, Binding::Unsupported, "abc");
        assert!(
            play(scram, HashName::Sha1, "SCRAM-SHA-1", BARE, "pencil", |_| message.into()).is_err(),
            "{message}"
        );
    }
    let scram = Scram::new(HashName::Sha1, "juliet", None, Binding::Unsupported, "abc");
    assert!(
        play(scram, HashName::Sha1, "SCRAM-SHA-1", BARE, "pencil", |message| message
            + &"x".repeat(10_000))
        .is_err()
    );
    let scram = Scram::new(HashName::Sha1, "juliet", None, Binding::Unsupported, "abc");
    let wrong = play(scram, HashName::Sha1, "SCRAM-SHA-1", BARE, "pen", |message| message);
    assert_eq!(wrong.err(), Some(SaslFailure::NotAuthorized));
}

/// A challenge to nobody looks like one to somebody, and is the same at each try.
#[test]
fn unknown_users_are_not_told() {
    let salt = |username: &str, hash: &str| {
        let first = format!("n,,n={username},r=abc");
        let Step::Lookup(lookup) = start(hash, BARE, Some(first.into_bytes())) else {
            panic!("a look-up")
        };
        let Step::Challenge(_, data) = found(lookup) else {
            panic!("a challenge")
        };
        String::from_utf8(data.to_vec()).expect("UTF-8")
    };
    let (known, unknown) = (salt("juliet", "SCRAM-SHA-1"), salt("nobody", "SCRAM-SHA-1"));
    assert_eq!(unknown, salt("nobody", "SCRAM-SHA-1"));
    assert_eq!(
        (known.len(), known.rsplit_once(',').unwrap().1),
        (unknown.len(), unknown.rsplit_once(',').unwrap().1)
    );
    assert_ne!(salt("juliet", "SCRAM-SHA-256"), known, "each hash has its salt");
    assert_ne!(salt("nobody", "SCRAM-SHA-256"), unknown, "each hash has its salt");
}

#[test]
fn plain() {
    let cases: &[(&[u8], Result<(), SaslFailure>)] = &[
        (b"\0juliet\0pencil", Ok(())),
        (b"juliet@a.example\0juliet\0pencil", Ok(())),
        (b"romeo@a.example\0juliet\0pencil", Err(SaslFailure::InvalidAuthzid)),
        (b"\0juliet\0pen", Err(SaslFailure::NotAuthorized)),
        (b"\0juliet\0\x07", Err(SaslFailure::NotAuthorized)),
        (b"\0nobody\0pencil", Err(SaslFailure::NotAuthorized)),
        (b"\0\xffjuliet\0pencil", Err(SaslFailure::MalformedRequest)),
        (b"\0juliet\0", Err(SaslFailure::MalformedRequest)),
        (b"\0\0pencil", Err(SaslFailure::MalformedRequest)),
        (b"juliet\0pencil", Err(SaslFailure::MalformedRequest)),
        (b"\0juliet\0pencil\0", Err(SaslFailure::MalformedRequest)),
        (b"", Err(SaslFailure::MalformedRequest)),
    ];
    for (message, expected) in cases {
        let given = conclude(start("PLAIN", BARE, Some(message.to_vec())));
        assert_eq!(given, *expected, "{:?}", String::from_utf8_lossy(message));
    }
    assert_eq!(client::plain("juliet", "pencil"), b"\0juliet\0pencil");
    let Step::Challenge(exchange, data) = start("PLAIN", BARE, None) else {
        panic!("asked for the initial response")
    };
    assert!(data.is_empty());
    assert_eq!(conclude(exchange.respond(b"\0juliet\0pencil")), Ok(()));
    assert_eq!(
        conclude(start("PLAIN", BARE, Some(vec![b'x'; 10_000]))),
        Err(SaslFailure::MalformedRequest)
    );
}

#[test]
fn external() {
    let given = |message: &[u8]| conclude(start("EXTERNAL", PLUS, Some(message.to_vec())));
    assert_eq!(given(b""), Err(SaslFailure::InvalidAuthzid), "two addresses");
    assert_eq!(given(b"juliet@a.example"), Ok(()));
    assert_eq!(
        given(b"nobody@a.example"),
        Err(SaslFailure::NotAuthorized),
        "in the certificate, not in the store"
    );
    assert_eq!(given(b"romeo@a.example"), Err(SaslFailure::InvalidAuthzid));
    assert_eq!(given(b"\xff"), Err(SaslFailure::MalformedRequest));
    assert_eq!(
        conclude(start("EXTERNAL", BARE, None)),
        Err(SaslFailure::InvalidMechanism)
    );
}

#[test]
fn secrets_are_not_printed() {
    let step = start("PLAIN", BARE, Some(b"\0juliet\0pencil".to_vec()));
    assert!(!format!("{step:?}").contains("pencil"));
    let Step::Lookup(lookup) = step else {
        panic!("a look-up")
    };
    assert!(!format!("{:?}", found(lookup)).contains("pencil"));
    assert!(!format!("{:?}", policy()).contains("secret"));
}

/// RFC 5802, 5 and RFC 7677, 3: the client's side of the examples.
#[test]
fn the_client_follows_the_examples_of_the_rfcs() {
    let cases = [
        (
            HashName::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            HashName::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];
    for (hash, nonce, challenge, proof, signature) in cases {
        let scram = Scram::new(hash, "user", None, Binding::Unsupported, nonce);
        assert_eq!(scram.first(), format!("n,,n=user,r={nonce}").into_bytes());
        let (message, proven) = scram
            .clone()
            .respond(challenge.as_bytes(), keys(hash, "pencil"))
            .expect("an answer");
        assert_eq!(String::from_utf8(message).expect("UTF-8"), proof);
        assert_eq!(proven.clone().finish(signature.as_bytes()), Ok(()));
        assert_eq!(proven.clone().finish(b"v=AAAA"), Err(client::Error::Signature));
        assert_eq!(proven.finish(b"e=other-error"), Err(client::Error::Malformed));
        let another = challenge.replacen(nonce, "x", 1);
        assert_eq!(
            scram.clone().respond(another.as_bytes(), keys(hash, "pencil")).err(),
            Some(client::Error::Nonce)
        );
        let greedy = challenge.replacen("i=4096", "i=4000000000", 1);
        assert_eq!(
            scram.respond(greedy.as_bytes(), keys(hash, "pencil")).err(),
            Some(client::Error::Malformed)
        );
    }
}

fn bound(kind: &str, data: &[u8]) -> Binding {
    Binding::Bound {
        kind: kind.into(),
        data: data.into(),
    }
}

fn play_bound(mechanism: &str, offered: &[&str], binding: &Binding) -> Result<(), SaslFailure> {
    let Some(Mechanism::Scram { hash, .. }) = Mechanism::from_name(mechanism) else {
        panic!("a mechanism")
    };
    let scram = Scram::new(hash, "juliet", None, binding.clone(), "abc");
    play(scram, hash, mechanism, offered, "pencil", |message| message)
}

/// Plays a SCRAM exchange; `tamper` changes the final message on its way.
fn play(
    scram: Scram,
    hash: HashName,
    mechanism: &str,
    offered: &[&str],
    password: &str,
    tamper: impl FnOnce(String) -> String,
) -> Result<(), SaslFailure> {
    let lookup = match start(mechanism, offered, Some(scram.first())) {
        Step::Lookup(lookup) => lookup,
        Step::Failure(failure) => return Err(failure),
        other => panic!("unexpected {other:?}"),
    };
    let Step::Challenge(exchange, challenge) = found(lookup) else {
        panic!("a challenge")
    };
    let (message, proven) = scram.respond(&challenge, keys(hash, password)).expect("an answer");
    let message = tamper(String::from_utf8(message).expect("UTF-8"));
    match exchange.respond(message.as_bytes()) {
        Step::Success { account, data } => {
            assert_eq!(account.as_str(), "juliet@a.example");
            proven
                .finish(&data.expect("a signature"))
                .expect("the server's signature");
            Ok(())
        }
        Step::Failure(failure) => Err(failure),
        other => panic!("unexpected {other:?}"),
    }
}

/// Goes on until there is a verdict.
fn conclude(step: Step) -> Result<(), SaslFailure> {
    match step {
        Step::Lookup(lookup) => conclude(found(lookup)),
        Step::Verify(verify) => conclude(verify.run()),
        Step::Success { account, .. } => {
            assert_eq!(account.as_str(), "juliet@a.example");
            Ok(())
        }
        Step::Failure(failure) => Err(failure),
        Step::Challenge(..) => panic!("unexpected challenge"),
    }
}

fn start(mechanism: &str, offered: &[&str], initial: Option<Vec<u8>>) -> Step {
    let tls = TlsFacts {
        exporter: Some(EXPORTER),
        server_end_point: Some(b"hash".to_vec()),
        certificate_addresses: vec!["juliet@a.example".into(), "nobody@a.example".into()],
        ..TlsFacts::default()
    };
    Exchange::start(Start {
        domain: "a.example".into(),
        mechanism: mechanism.into(),
        offered: offered.iter().map(ToString::to_string).collect(),
        bindings: Vec::new(),
        initial: initial.map(Into::into),
        peer: Peer {
            tls: Some(tls),
            ..Peer::default()
        },
    })
}

/// There is one account: juliet, with the password pencil.
fn found(lookup: Lookup) -> Step {
    let juliet = Bare::parse("juliet@a.example").expect("an address");
    let verifiers: Option<Vec<Verifier>> =
        (*lookup.account() == juliet).then(|| verifiers("pencil", 5, b"salt").expect("a password"));
    lookup.found(verifiers.as_deref(), b"noncenoncenonce", &policy())
}

fn policy() -> Policy {
    Policy {
        secret: b"secret".to_vec(),
        iterations: 5,
    }
}

fn keys(hash: HashName, password: &str) -> impl FnOnce(&[u8], u32) -> Keys {
    move |salt, iterations| Keys::derive(hash, password, salt, iterations).expect("a password")
}
