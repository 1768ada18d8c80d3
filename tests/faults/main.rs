//! Faults and attacks that a server must survive, one by one: what the network,
//! peers, the kernel and users' code can do at worst.
//!
//! All traffic stays on loopback or in network namespaces that a test makes for
//! itself and that vanish with it; every load is bounded in count and time.
//! Many tests need root, some need programs (`ip`, `tc`, `nft`, `strace`,
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
//! | `addresses` | servers with many addresses |
//! | `datagrams` | the smallest and the longest datagrams and replies |
//! | `forged` | sources that nobody sends from |
//! | `icmp` | clients that vanished, and forged news of it |
//! | `network` | networks that come and go, lose, repeat and reorder |
//! | `poison` | replies that cannot be sent, among others that can |
//! | `sources` | floods from more sources than there can be |
//! | `transport` | damage, and several datagrams at once |

#[cfg(target_os = "linux")]
mod addresses;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod datagrams;
#[cfg(target_os = "linux")]
mod forged;
#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod icmp;
#[cfg(target_os = "linux")]
mod netns;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod poison;
#[cfg(target_os = "linux")]
mod raw;
#[cfg(target_os = "linux")]
mod sources;
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
mod transport;
#[cfg(target_os = "linux")]
mod world;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let cases = [
        addresses::cases(),
        datagrams::cases(),
        forged::cases(),
        icmp::cases(),
        network::cases(),
        poison::cases(),
        sources::cases(),
        transport::cases(),
    ]
    .concat();
    let trials = cases.into_iter().map(harness::Case::into_trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Namespaces, raw sockets and `/proc` are Linux'.
#[cfg(not(target_os = "linux"))]
fn main() {}
