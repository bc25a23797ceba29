//! Golden transcripts: what goes in and what comes out, line by line. The scripts stand in `transcripts/`; their language is
//! described in `script`.

mod script;

use script::{Setting, check};

/// Each script, and the listener it is played against.
const SCRIPTS: &[(&str, &str, fn() -> Setting)] = &[
    ("login", include_str!("transcripts/login.txt"), Setting::required),
];

#[test]
fn every_transcript_holds() {
    for (name, text, setting) in SCRIPTS {
        check(name, text, &setting());
    }
}
