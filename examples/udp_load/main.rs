//! Puts load on any UDP server that echoes, and checks every reply.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example uppercase_echo -- --quiet
//! cargo run --release --example udp_load -- 127.0.0.1:8080 --peers 64 --duration 5s
//! ```
//! Also for a server that sends back what it got (`--expect echo`), at a steady
//! rate (`--rate 50000`), and for programs (`--json`). Ctrl-C ends the load
//! within a fifth of a second or so, a second one at once, and the counts are
//! printed all the same.
//!
//! It works on one thread with batched system calls, so as to cost less than
//! what it measures. These calls are Linux's. All of it is in the crate
//! `load_generator`, which the benchmarks use as well.

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("udp_load: the batched system calls it is made of are Linux's");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    load_generator::program::main()
}
