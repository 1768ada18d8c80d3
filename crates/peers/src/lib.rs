//! The same upper-case echo by this crate and by others, side by side.
//!
//! ```text
//! cargo bench --bench peers                       # all there is: a quarter of an hour
//! cargo bench --bench peers -- --help             # which servers there are
//! cargo bench --bench peers -- --scenario 500x1-wait1ms --only ours,std-pool --rounds 3
//! cargo bench --bench peers -- --targets          # what has a target, and whether it is met
//! cargo bench --bench peers -- --publish          # the README's figures
//! cargo bench --bench peers -- --before PROGRAM   # beside another build of this program
//! ```
//!
//! Every server is a process of its own, started anew for each measurement, with
//! the same receive buffer, and as many threads where there is a pool. Servers
//! take turns within a round, so that whatever else the machine does meets all
//! of them; ratios are taken within a round, and the table has their medians.
//! Load generator and server share the machine: beside the rate stands the CPU
//! time that a datagram cost the server.
//!
//! A scenario's name says what it is, and any can be asked for:
//!
//! | part | stands for |
//! |---|---|
//! | `64x1` | 64 peers with one datagram in flight each: a closed loop. A peer sends the next one when it has its reply, and after a second without one |
//! | `64@1000` | 64 peers and 1,000 datagrams a second: an open loop. They are due at a steady rate, whatever comes back, and latency counts from then |
//! | `one`, `idle` | no datagrams while it is measured; before, one that is still being handled, or one that was answered |
//! | `-wait1ms` | handlers sleep for so long: `200us`, `10ms`, `60s` |
//! | `-cpu20us` | handlers compute for so long |
//! | `-redis` | handlers ask Redis, which is 0.7 ms away |
//! | `-10%` | only one handler in ten does, and latency is that of the others |
//!
//! The scenario `64x1-redis` takes a `redis-server`: `apt-get install
//! redis-server`, or whatever the system has instead. The servers in Python take
//! `python3`, the one in C takes `cc`. Where a program is lacking, the table says so.
#![cfg(target_os = "linux")]

mod contestant;
mod options;
mod process;
mod publish;
mod redis;
mod results;
mod run;
mod scenario;
mod serve;
mod targets;

pub use run::main;
