//! The load generator's logic, with the tests written beside it: an example is
//! either a program or a set of tests, and this one is a program.
#![cfg(target_os = "linux")]
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "a program has no outside"
)]

#[path = "../../examples/udp_load/load/mod.rs"]
mod load;
#[path = "../../examples/udp_load/options.rs"]
mod options;
