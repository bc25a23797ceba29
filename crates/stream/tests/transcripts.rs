//! Golden transcripts: what goes in and what comes out, line by line. The scripts stand in `transcripts/`; their language is
//! described in `script`.

mod script;

use script::{Setting, check};

/// Name, text, listener.
type Script = (&'static str, &'static str, fn() -> Setting);

/// Each script, and the listener it is played against.
const SCRIPTS: &[Script] = &[
    ("login", include_str!("transcripts/login.txt"), Setting::required),
    ("header", include_str!("transcripts/header.txt"), Setting::required),
    ("xml", include_str!("transcripts/xml.txt"), Setting::direct),
    ("starttls", include_str!("transcripts/starttls.txt"), Setting::required),
    ("optional", include_str!("transcripts/optional.txt"), Setting::optional),
    ("off", include_str!("transcripts/off.txt"), Setting::off),
    (
        "elsewhere",
        include_str!("transcripts/elsewhere.txt"),
        Setting::elsewhere,
    ),
    (
        "certified",
        include_str!("transcripts/certified.txt"),
        Setting::certified,
    ),
    ("sasl", include_str!("transcripts/sasl.txt"), Setting::direct),
    (
        "registration",
        include_str!("transcripts/registration.txt"),
        Setting::registering,
    ),
    (
        "registration_in_plain",
        include_str!("transcripts/registration_in_plain.txt"),
        Setting::registering_in_plain,
    ),
    ("sasl2", include_str!("transcripts/sasl2.txt"), Setting::direct),
    ("inlined", include_str!("transcripts/inlined.txt"), Setting::direct),
    ("binding", include_str!("transcripts/binding.txt"), Setting::direct),
    (
        "established",
        include_str!("transcripts/established.txt"),
        Setting::direct,
    ),
    (
        "management",
        include_str!("transcripts/management.txt"),
        Setting::direct,
    ),
    (
        "client_state",
        include_str!("transcripts/client_state.txt"),
        Setting::direct,
    ),
    (
        "component",
        include_str!("transcripts/component.txt"),
        Setting::component,
    ),
];

#[test]
fn every_transcript_holds() {
    let play = |(name, text, setting): &Script| check(name, text, &setting());
    let failed: Vec<String> = SCRIPTS.iter().flat_map(play).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
