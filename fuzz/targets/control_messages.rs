//! What the kernel tells of a datagram, as any bytes at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| socketserver::fuzzing::control_messages(bytes));
