//! Prints what passwords cost here: `cargo run --release -p dunlin-sasl --example timing`.

use std::time::Instant;

use dunlin_sasl::client::{Binding, Keys, Scram};
use dunlin_sasl::{DEFAULT_ITERATIONS, Exchange, Policy, Start, Step, verifier, verifiers};
use stanza::Peer;
use store::HashName;

fn main() {
    let iterations = DEFAULT_ITERATIONS;
    println!("{iterations} iterations, in microseconds");
    measure("all verifiers", 20, || drop(verifiers("pencil", iterations, b"salt")));
    for hash in [HashName::Sha1, HashName::Sha256, HashName::Sha512] {
        measure(&format!("one verifier, which is a PLAIN check, {hash:?}"), 20, || {
            drop(verifier(hash, "pencil", iterations, b"salt"));
        });
        measure(
            &format!("a SCRAM exchange, server's side and client's but keys, {hash:?}"),
            1000,
            scram(hash),
        );
    }
}

fn scram(hash: HashName) -> impl FnMut() {
    let stored = verifiers("pencil", 1, b"salt").unwrap_or_default();
    let salt = stored
        .iter()
        .find(|verifier| verifier.hash == hash)
        .map(|verifier| verifier.salt.clone());
    let keys = Keys::derive(hash, "pencil", &salt.unwrap_or_default(), 1);
    let policy = Policy {
        secret: b"secret".to_vec(),
        iterations: 1,
    };
    let name = dunlin_sasl::Mechanism::Scram { hash, plus: false }.name();
    move || {
        let client = Scram::new(hash, "juliet", None, Binding::Unsupported, "abc");
        let (domain, offered, peer) = ("a.example".to_owned(), vec![name.to_owned()], Peer::default());
        let initial = Some(client.first().into());
        let start = Start {
            domain,
            mechanism: name.to_owned(),
            offered,
            bindings: Vec::new(),
            initial,
            peer,
        };
        let Step::Lookup(lookup) = Exchange::start(start) else {
            return;
        };
        let Step::Challenge(exchange, data) = lookup.found(Some(&stored), b"noncenoncenoncenon", &policy) else {
            return;
        };
        let Ok(keys) = keys.clone() else { return };
        let Ok((message, _)) = client.respond(&data, |_, _| keys) else {
            return;
        };
        assert!(matches!(exchange.respond(&message), Step::Success { .. }));
    }
}

#[allow(clippy::disallowed_methods, reason = "it measures time")]
fn measure(what: &str, rounds: u32, mut work: impl FnMut()) {
    work();
    let begin = Instant::now();
    for _ in 0..rounds {
        work();
    }
    println!(
        "{:10.1}  {what}",
        begin.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    );
}
