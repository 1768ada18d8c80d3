//! The logic of the load generator and of the benchmark that is built on it,
//! with the tests written beside it: an example or a benchmark is either a
//! program or a set of tests, and these are programs.
#![cfg(target_os = "linux")]
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "a program has no outside"
)]

#[path = "../../benches/peers/command_line.rs"]
mod command_line;
#[path = "../../benches/peers/contestant.rs"]
mod contestant;
#[path = "../../examples/udp_load/load/mod.rs"]
mod load;
#[path = "../../benches/peers/machine.rs"]
mod machine;
#[path = "../../examples/udp_load/options.rs"]
mod options;
#[path = "../../benches/peers/output.rs"]
mod output;
#[path = "../../benches/peers/readme.rs"]
mod readme;
#[path = "../../examples/udp_load/report.rs"]
mod report;
#[path = "../../benches/peers/results.rs"]
mod results;
#[path = "../../benches/peers/scenario.rs"]
mod scenario;
#[path = "../../benches/peers/targets.rs"]
mod targets;
#[path = "../../benches/peers/work.rs"]
mod work;
