//! Any text as an address: see the checks of the target's code.
#![no_main]

#[path = "../../../crates/stanza/tests/support/target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
