//! Tokens from both sides: what a client does with one, and what it may be worth (XEP-0484).

use dunlin_sasl::client::hashed_token;
use dunlin_sasl::{Claim, Issued, Owner, Redeemed, TokenMechanism, Tokens, generation, verifiers};
use stanza::{Bare, ClientId, FastUse, SaslFailure, Timestamp, TlsFacts};
use store::Account;

const NAMES: [&str; 3] = ["HT-SHA-256-ENDP", "HT-SHA-256-EXPR", "HT-SHA-256-NONE"];
const NOW: Timestamp = Timestamp(1_000);
const LATER: Timestamp = Timestamp(2_000);

fn account(password: &str, created: i64) -> Account {
    Account {
        jid: Bare::parse("juliet@a.example").expect("an address"),
        created: Timestamp(created),
        verifiers: verifiers(password, 5, b"salt").expect("a password"),
        last_seen: None,
        disabled: false,
    }
}

fn client(last: u8) -> ClientId {
    ClientId::parse(&format!("d4565fa7-4d72-4749-b3d3-740edbf877{last:02x}")).expect("a UUID")
}

fn owner<'a>(account: &'a Account, client: ClientId, secret: &'a [u8]) -> Owner<'a> {
    Owner {
        secret,
        account: &account.jid,
        client,
        generation: generation(Some(account)),
    }
}

fn issued(serial: u128, name: &str) -> Issued {
    Issued {
        serial,
        mechanism: TokenMechanism::from_name(name).expect("a mechanism"),
        issued: Timestamp(0),
        expires: LATER,
        count: 0,
    }
}

fn tls() -> TlsFacts {
    TlsFacts {
        exporter: Some([7; 32]),
        server_end_point: Some(b"hash".to_vec()),
        ..TlsFacts::default()
    }
}

fn channel(name: &str) -> Vec<u8> {
    match name {
        "HT-SHA-256-ENDP" => b"hash".to_vec(),
        "HT-SHA-256-EXPR" => vec![7; 32],
        _ => Vec::new(),
    }
}

fn claim(name: &str, token: &str) -> Claim {
    let message = hashed_token("Juliet", token, &channel(name));
    Claim::read(name, "a.example", Some(&message), Some(&tls())).expect("a claim")
}

fn use_it(
    owner: &Owner<'_>,
    tokens: &Tokens,
    (name, token): (&str, &str),
    usage: FastUse,
) -> Result<Redeemed, SaslFailure> {
    claim(name, token).redeem(owner, Some(tokens), usage, NOW)
}

#[test]
fn a_token_is_good_for_its_own_mechanism_only() {
    let juliet = account("pencil", 1);
    let owner = owner(&juliet, client(1), b"secret");
    for name in NAMES {
        let mut tokens = Tokens::default();
        let token = tokens.issue(&owner, issued(7, name)).token;
        for other in NAMES {
            let outcome = use_it(&owner, &tokens, (other, &token), FastUse::default());
            let failure = (other != name).then_some(SaslFailure::NotAuthorized);
            assert_eq!(outcome.err(), failure, "{name} with {other}");
        }
    }
}

#[test]
fn a_token_is_of_one_account_client_password_and_secret() {
    let (juliet, again, changed) = (account("pencil", 1), account("pencil", 2), account("eraser", 1));
    let mut tokens = Tokens::default();
    let token = tokens
        .issue(&owner(&juliet, client(1), b"secret"), issued(7, NAMES[2]))
        .token;
    let owners = [
        (owner(&juliet, client(1), b"secret"), None),
        (owner(&juliet, client(2), b"secret"), Some(SaslFailure::NotAuthorized)),
        (owner(&again, client(1), b"secret"), Some(SaslFailure::NotAuthorized)),
        (owner(&changed, client(1), b"secret"), Some(SaslFailure::NotAuthorized)),
        (owner(&juliet, client(1), b"another"), Some(SaslFailure::NotAuthorized)),
    ];
    for (at, (owner, failure)) in owners.iter().enumerate() {
        let outcome = use_it(owner, &tokens, (NAMES[2], &token), FastUse::default());
        assert_eq!(outcome.err(), *failure, "case {at}");
    }
    let nothing_kept = claim(NAMES[2], &token).redeem(&owners[0].0, None, FastUse::default(), NOW);
    assert_eq!(nothing_kept.err(), Some(SaslFailure::NotAuthorized));
}

#[test]
fn a_channel_in_the_middle_is_found_out() {
    let juliet = account("pencil", 1);
    let owner = owner(&juliet, client(1), b"secret");
    let mut tokens = Tokens::default();
    let token = tokens.issue(&owner, issued(7, "HT-SHA-256-EXPR")).token;
    let message = hashed_token("juliet", &token, &[8; 32]);
    let claim = Claim::read("HT-SHA-256-EXPR", "a.example", Some(&message), Some(&tls())).expect("a claim");
    let outcome = claim.redeem(&owner, Some(&tokens), FastUse::default(), NOW);
    assert_eq!(outcome.err(), Some(SaslFailure::NotAuthorized));
    let unbound = Claim::read("HT-SHA-256-EXPR", "a.example", Some(&message), None);
    assert_eq!(unbound.err(), Some(SaslFailure::NotAuthorized));
}

/// XEP-0484, "Server initiates token rotation".
#[test]
fn the_old_token_is_good_until_the_new_one_is_used() {
    let juliet = account("pencil", 1);
    let owner = owner(&juliet, client(1), b"secret");
    let mut tokens = Tokens::default();
    let use_it = |tokens: &Tokens, token: &str| use_it(&owner, tokens, (NAMES[2], token), FastUse::default());
    let old = tokens.issue(&owner, issued(1, NAMES[2])).token;
    tokens = use_it(&tokens, &old).expect("the first use").tokens;
    let lost = tokens.issue(&owner, issued(2, NAMES[2])).token;
    let new = tokens.issue(&owner, issued(3, NAMES[2])).token;
    assert!(use_it(&tokens, &lost).is_err(), "made and replaced");
    tokens = use_it(&tokens, &old).expect("still good").tokens;
    tokens = use_it(&tokens, &new).expect("the new one").tokens;
    assert!(use_it(&tokens, &old).is_err(), "no longer good");
    assert_eq!(use_it(&tokens, &new).expect("again").tokens, tokens, "nothing changes");
}

#[test]
fn attempts_are_counted_and_tokens_end() {
    let juliet = account("pencil", 1);
    let owner = owner(&juliet, client(1), b"secret");
    let mut tokens = Tokens::default();
    let token = tokens.issue(&owner, issued(1, NAMES[2])).token;
    let count = |tokens: &Tokens, count| {
        let usage = FastUse {
            count: Some(count),
            invalidate: false,
        };
        use_it(&owner, tokens, (NAMES[2], &token), usage)
    };
    tokens = count(&tokens, 5).expect("an attempt").tokens;
    assert_eq!(count(&tokens, 5).err(), Some(SaslFailure::NotAuthorized), "a replay");
    tokens = count(&tokens, 6).expect("the next").tokens;
    let late = claim(NAMES[2], &token).redeem(&owner, Some(&tokens), FastUse::default(), LATER);
    assert_eq!(late.err(), Some(SaslFailure::CredentialsExpired));
    let usage = FastUse {
        count: None,
        invalidate: true,
    };
    let left = use_it(&owner, &tokens, (NAMES[2], &token), usage)
        .expect("a last time")
        .tokens;
    assert_eq!(left, Tokens::default());
}

#[test]
fn messages_that_are_none() {
    let long = [b"x".repeat(1100), b"\0hash".to_vec()].concat();
    for message in [None, Some(&b"juliet"[..]), Some(b"\xff\0hash"), Some(&long)] {
        let claim = Claim::read(NAMES[2], "a.example", message, None);
        assert_eq!(claim.err(), Some(SaslFailure::MalformedRequest));
    }
    let unknown = Claim::read("HT-SHA-256-UNIQ", "a.example", Some(b"juliet\0hash"), None);
    assert_eq!(unknown.err(), Some(SaslFailure::InvalidMechanism));
    let nobody = Claim::read(NAMES[2], "a.example", Some(b"@\0hash"), None);
    assert_eq!(nobody.err(), Some(SaslFailure::NotAuthorized));
}
