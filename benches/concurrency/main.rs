//! Throughput against the number of workers: both servers, four kinds of
//! handlers, short and long datagrams; what guards cost, and what it costs to be told
//! more of each datagram.
//!
//! ```text
//! cargo bench --bench concurrency                       # less than five minutes
//! cargo bench --bench concurrency -- 'blocks 5 ms'      # some of it
//! ```
//!
//! What is measured is one datagram: there, through the handler, and back, with
//! 64 clients that each have one in flight. The load comes from the same process,
//! so that a server with few workers and a quick handler has a processor left to
//! share; what a datagram costs the server alone, `peers` shows.

#[cfg(target_os = "linux")]
mod details;
#[cfg(target_os = "linux")]
mod guards;
#[cfg(target_os = "linux")]
mod handler;
#[cfg(target_os = "linux")]
mod measure;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("concurrency: the load generator is made of system calls that are Linux's");
}

#[cfg(target_os = "linux")]
fn main() {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    measure::all(&mut criterion);
    criterion.final_summary();
}
