//! What Python's `socketserver` promises for datagrams, and the traps in which
//! ours does better: one test for each statement, over real sockets.
//!
//! | module | subject |
//! |---|---|
//! | `lifecycle` | binding, serving, stopping, closing |
//! | `draining` | what becomes of what was received when a server ends |
//! | `one_by_one` | one datagram on the calling thread |
//! | `resources` | threads, descriptors, child processes |
//! | `handlers` | `setup`, `handle`, `finish`; errors and panics |
//! | `hooks` | what users hook in |
//! | `replies` | what is sent, and what is not |
//! | `deferred` | answers that are given after the handler has returned |
//! | `ways` | what holds for all ways to send alike |
//! | `unsolicited` | what a server sends of its own accord |
//! | `timers` | what is due once, after a while |
//! | `datagrams` | what a handler is shown, and what the kernel drops |
//! | `metadata` | what a handler is told of a datagram beside its bytes |
//! | `marks` | how what is sent leaves |
//! | `unsupported` | what the portable twin refuses |
//! | `order` | one peer's datagrams one after another |
//! | `order_by` | the same for datagrams with one key |
//! | `per_peer` | state for each peer: sessions |
//! | `several` | several addresses, one server |
//! | `shards` | several sockets at one address, one server |
//! | `gro` | several datagrams that the kernel delivers as one (GRO) |
//! | `config` | options, defaults, errors of `bind` |
//! | `guards` | what a hostile network gets |
//! | `takeover` | sockets that were handed in or passed to the process |
//! | `privileges` | binding as root, serving as nobody |
//! | `multicast` | groups and broadcasts |
//! | `memberships` | which groups are heard |
//! | `source_specific` | groups of which one source is heard |
//! | `unix` | Unix datagram sockets |
//! | `unnoticed` | mistakes that would go unnoticed: state, silence, wrong errors |
//! | `load` | many clients, stuck handlers, floods |
//! | `bench` | handlers without sockets |
//! | `pool` | how many workers there are, and what they cost at rest |
//!
//! Tests that are generic over [`support::UdpServer`] run for both servers.

// Some tests are Linux's alone, and with them what they use.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

/// The portable twin cannot know where a datagram was sent to, nor choose where
/// a reply leaves from.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod addresses;
#[cfg(feature = "testing")]
mod bench;
mod config;
mod datagrams;
mod deferred;
mod draining;
/// The portable twin receives one datagram at a time.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod gro;
mod guards;
mod handlers;
mod hooks;
mod lifecycle;
mod load;
/// The portable twin can say nothing of a single datagram.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod marks;
#[cfg(target_os = "linux")]
mod memberships;
/// The portable twin is told nothing of a datagram.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod metadata;
#[cfg(target_os = "linux")]
mod multicast;
mod one_by_one;
mod order;
mod order_by;
mod per_peer;
mod pool;
#[cfg(target_os = "linux")]
mod privileges;
mod replies;
mod resources;
mod robustness;
mod several;
/// The portable twin has one socket for each address.
#[cfg(all(target_os = "linux", not(socketserver_portable)))]
mod shards;
#[cfg(target_os = "linux")]
mod source_specific;
mod support;
#[cfg(target_os = "linux")]
mod takeover;
mod timers;
#[cfg(unix)]
mod unix;
mod unnoticed;
mod unsolicited;
#[cfg(all(unix, socketserver_portable))]
mod unsupported;
mod ways;
