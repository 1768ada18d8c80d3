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
//! what it measures. These calls are Linux's.

#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod screen;

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("udp_load: the batched system calls it is made of are Linux's");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;

    let options = options::Options::parse();
    match screen::run(&options) {
        Ok(tally) if tally.answered > 0 && tally.wrong == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("udp_load: {error}");
            ExitCode::FAILURE
        }
    }
}
