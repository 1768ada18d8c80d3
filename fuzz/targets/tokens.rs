//! What peers send back as a token, as any bytes at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| socketserver::fuzzing::tokens(bytes));
