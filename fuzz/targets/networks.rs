//! Lists of networks, as any text at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| socketserver::fuzzing::networks(bytes));
