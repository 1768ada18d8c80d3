//! The same upper-case echo by this crate and by others, side by side.
//!
//! ```text
//! cargo bench --bench peers                       # all there is: a quarter of an hour
//! cargo bench --bench peers -- --quick            # one brief round of it
//! cargo bench --bench peers -- --list             # which servers and scenarios there are
//! cargo bench --bench peers -- --scenario 500x1-wait1ms --only ours,std-pool --rounds 3 --seconds 0.3
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
//! A closed loop (`64x1`): a peer sends the next datagram when it has its reply,
//! and after a second without one. An open loop (`64@1000`): datagrams are due at
//! a steady rate, whatever comes back, and latency counts from then.
//!
//! The scenario `64x1-redis` takes a `redis-server`: `apt-get install
//! redis-server`, or whatever the system has instead. The servers in Python take
//! `python3`, the one in C takes `cc`. Who lacks what is left out, with a word.
//!
//! Every sample is put into `target/peers/peers.csv`.
#![cfg(target_os = "linux")]

mod contestant;
mod options;
mod output;
mod process;
mod publish;
mod redis;
mod results;
mod run;
mod scenario;
mod serve;
mod targets;

pub use run::main;
