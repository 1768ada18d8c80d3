//! Faults and attacks that a server must survive, one by one: what the network,
//! peers, the kernel and users' code can do at worst.
//!
//! All traffic stays on loopback or in network namespaces that a test makes for
//! itself and that vanish with it; every load is bounded in count and time.
//! Many tests need root, some need programs (`ip`, `tc`, `nft`, `strace`, `udhcpc`,
//! `python3` with scapy). A test without what it needs says so and counts as
//! ignored; with `SOCKETSERVER_REQUIRE_FAULT_TESTS=1` it fails instead.
//!
//! Floods and the soak are short by default. Their full length takes
//!
//! ```text
//! SOCKETSERVER_FAULTS_SCALE=100 cargo test --release --test faults -- --test-threads 1
//! ```
//!
//! | module | what goes wrong |
//! |---|---|
//! | `abused` | floods in the name of clients |
//! | `addresses` | servers with many addresses |
//! | `allowed` | sources that nobody can answer, where the protocol has them |
//! | `blocking` | handlers that block, and more load than can be handled |
//! | `callbacks` | users' code that takes its time, or calls back |
//! | `children` | programs that handlers start |
//! | `clock` | a clock that jumps |
//! | `datagrams` | the smallest and the longest datagrams and replies |
//! | `dhcp` | clients that have no address yet |
//! | `errors` | system calls that fail |
//! | `exhaustion` | no descriptors, no threads, no memory left |
//! | `forged` | sources that nobody sends from |
//! | `icmp` | clients that vanished, and forged news of it |
//! | `logging` | loggers that block |
//! | `loops` | servers that are set on each other |
//! | `network` | networks that come and go, lose, repeat and reorder |
//! | `panics` | handlers that panic |
//! | `poison` | replies that cannot be sent, among others that can |
//! | `routes` | several links, and links that take less than a datagram |
//! | `sandbox` | system calls that are missing or forbidden |
//! | `send_buffer` | a network slower than the replies |
//! | `shared` | sockets that several servers have |
//! | `shutdown` | the end, at the worst moments |
//! | `signals` | signals, and what they interrupt |
//! | `soak` | a long life under a mixed load |
//! | `sockets` | sockets that are set up in an unusual way |
//! | `sources` | floods from more sources than there can be |
//! | `start` | what comes before serving, and sockets that are handed in |
//! | `transport` | damage, and several datagrams at once |

#[cfg(target_os = "linux")]
mod abused;
#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod allowed;
#[cfg(target_os = "linux")]
mod blocking;
#[cfg(target_os = "linux")]
mod callbacks;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod children;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod datagrams;
#[cfg(target_os = "linux")]
mod dhcp;
#[cfg(target_os = "linux")]
mod errors;
#[cfg(target_os = "linux")]
mod exhaustion;
#[cfg(target_os = "linux")]
mod forged;
#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod icmp;
#[cfg(target_os = "linux")]
mod injection;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod logging;
#[cfg(target_os = "linux")]
mod loops;
#[cfg(target_os = "linux")]
mod netns;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod panics;
#[cfg(target_os = "linux")]
mod poison;
#[cfg(target_os = "linux")]
#[path = "../examples/program.rs"]
#[allow(dead_code, reason = "the vocabulary of the tests of examples")]
mod program;
#[cfg(target_os = "linux")]
mod raw;
#[cfg(target_os = "linux")]
mod routes;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(target_os = "linux")]
mod send_buffer;
#[cfg(target_os = "linux")]
mod shared;
#[cfg(target_os = "linux")]
mod shutdown;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod soak;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod sources;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
#[path = "../it/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the vocabulary of all tests"
)]
mod support;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod transport;
#[cfg(target_os = "linux")]
mod world;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let cases = [
        abused::cases(),
        addresses::cases(),
        allowed::cases(),
        blocking::cases(),
        callbacks::cases(),
        children::cases(),
        clock::cases(),
        datagrams::cases(),
        dhcp::cases(),
        errors::cases(),
        exhaustion::cases(),
        forged::cases(),
        icmp::cases(),
        logging::cases(),
        loops::cases(),
        network::cases(),
        panics::cases(),
        poison::cases(),
        routes::cases(),
        sandbox::cases(),
        send_buffer::cases(),
        shared::cases(),
        shutdown::cases(),
        signals::cases(),
        soak::cases(),
        sockets::cases(),
        sources::cases(),
        start::cases(),
        transport::cases(),
    ]
    .concat();
    let mut trials = vec![table::trial(&cases)];
    trials.extend(cases.into_iter().map(harness::Case::into_trial));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Namespaces, raw sockets and `/proc` are Linux'.
#[cfg(not(target_os = "linux"))]
fn main() {}
