//! Any acts of client, shell and time on a stream: see the checks of the target's code.
#![no_main]

extern crate dunlin_stanza as stanza; // its name in the crate under test

#[path = "../../../crates/stream/tests/support/target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
