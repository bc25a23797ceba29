//! Any bytes as every message of the link protocol: reading never panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    dunlin_link::decode_any(data);
});
