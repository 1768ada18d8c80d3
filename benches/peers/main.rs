//! The same upper-case echo by this crate and by others, side by side.
//!
//! ```text
//! cargo bench --bench peers                       # less than five minutes
//! cargo bench --bench peers -- --quick            # less than one
//! cargo bench --bench peers -- --only ours,tokio-task --scenario 64x1
//! cargo bench --bench peers -- --targets          # only what has a target
//! cargo bench --bench peers -- --publish          # all, and the README's figures
//! ```
//!
//! Every server is a process of its own, started anew for each measurement, with
//! the same receive buffer. Servers take turns, so that whatever else the machine
//! does meets all of them; the table has medians, and how far the repeats lie
//! apart, and in the end what this crate is held to. Load generator and server
//! share the machine: beside the rate stands the CPU time that a datagram cost
//! the server.
//!
//! A closed loop: a peer sends the next datagram when it has its reply, and after
//! a second without one. The table is printed, and with the picture put under
//! `target/peers`.

#[cfg(target_os = "linux")]
mod chart;
#[cfg(target_os = "linux")]
mod command_line;
#[cfg(target_os = "linux")]
mod contestant;
#[cfg(target_os = "linux")]
#[path = "../concurrency/guards.rs"]
#[allow(dead_code, reason = "here only all of them together are measured")]
mod guards;
#[cfg(target_os = "linux")]
#[path = "../../examples/udp_load/load/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "what the command line and the tests need; these are run with the example"
)]
mod load;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod output;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod readme;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod results;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod scenario;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod targets;
#[cfg(target_os = "linux")]
mod work;

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("peers: the load generator is made of system calls that are Linux's");
    ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match run::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
