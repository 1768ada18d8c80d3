//! The only room with `unsafe` code and the only one that asks which platform
//! this is.
//!
//! Every platform fills the same contract; a missing item is a compile error in
//! the rooms above:
//!
//! | item | what it promises |
//! |---|---|
//! | [`Socket`] | one bound UDP socket, or Unix socket (`Socket::unix`); no call on it blocks without hearing the [`Waker`] or a deadline |
//! | [`Socket::receive`] | waits for datagrams, the waker or the deadline, whichever comes first |
//! | [`Socket::SHARDS`] | whether the kernel spreads peers over several sockets of one address |
//! | [`Socket::STAMPS`] | whether the kernel tells when it received a datagram |
//! | [`Socket::wait_for_any`] | waits at several sockets at once (only where there may be several) |
//! | [`Socket::send_now`] | one datagram, the kernel's answer, never waits |
//! | [`Socket::SENDS_AS_TOLD`] | whether a single datagram can be told more than where it goes ([`Egress`]) |
//! | [`ask_for`] | has the kernel tell more of each datagram received, or says that it cannot |
//! | [`forbid_fragments`], [`set_unicast_interface`] | how all that a socket sends leaves, or an error where that cannot be said |
//! | [`Socket::has_pending`] | whether a datagram could be received now (`true` where that cannot be known) |
//! | [`Socket::receives_gro`] | whether several datagrams may arrive as one, which a block then splits |
//! | [`Socket::is_backlogged`] | whether the receive buffer fills up (`false` where that cannot be known) |
//! | [`Socket::discard_pending_errors`] | forgets errors that are queued, and says whether there were any (`false` where that cannot be known) |
//! | [`Socket::kernel_drops`], [`Socket::unread_bytes`] | what the kernel's queue lost and holds, `None` where that cannot be known |
//! | [`Waker`] | wakes the one thread that waits in `receive` |
//! | [`Alarm`] | where the supervisor waits: woken by anyone, or by a timer that others set |
//! | [`ReceiveBlock`] | room for a batch of received datagrams |
//! | [`segments_work`] | whether several datagrams to one peer can leave as one segmented send |
//! | [`SendQueue`] | room for a batch of datagrams to send, and the loop that sends it |
//! | [`ThreadProbe`] | tells a thread that runs from one that waits (`false`: waits, where that cannot be known) |
//! | [`ThreadUsage`] | tells a handler that waited from one that computed (`waited` if it took long, where that cannot be known) |
//! | [`has_memory`] | whether the system has memory for so many bytes more |
//! | [`try_thread`] | whether the system has room for one more thread |
//! | [`PROCESSES`], [`threads`] | whether there can be processes that share a socket; how many threads this one has |
//! | [`Parent`], [`Child`] | forks, hears of signals and of what becomes of children |
//! | [`Socket::receive_or_leave`], [`is_told_to_leave`], [`listen_to`], [`rest`], [`leave`] | what a child does |
//! | [`SharedWords`] | numbers that a process shares with its children |
//! | [`name_thread`] | gives the calling thread a name that tools of the system show |
//!
//! `linux` batches with `recvmmsg` and `sendmmsg`. `portable` uses what `std`
//! and `socket2` offer everywhere, one datagram per call; it also runs on Linux
//! under `--cfg socketserver_portable`, where it passes the same tests.

mod before_bind;
mod bound;
mod egress;
mod errors;
mod host;
mod inherited;
mod interface;
mod ledger;
#[cfg(any(not(target_os = "linux"), socketserver_portable))]
mod lost_peers;
mod multicast;
mod one_thread;
mod open;
mod send_loop;
mod sending;
mod servable;
mod source_specific;
#[cfg_attr(
    not(unix),
    allow(dead_code, unreachable_pub, reason = "there are no Unix sockets")
)]
mod unix_addr;
#[cfg(unix)]
mod unix_socket;

#[cfg(all(target_os = "linux", not(socketserver_portable)))]
#[path = "linux/mod.rs"]
mod platform;

#[cfg(not(all(target_os = "linux", not(socketserver_portable))))]
#[path = "portable/mod.rs"]
mod platform;

pub(crate) use before_bind::{BeforeBind, Configure, OpenError, SocketView};
pub(crate) use egress::Egress;
pub(crate) use errors::{ReceiveFault, SendFault, lacks_broadcast};
pub(crate) use host::{HostAddresses, is_bound_to_one_host};
pub(crate) use inherited::{Inherited, take_inherited};
pub use interface::Interface;
pub(crate) use multicast::{
    Membership, hears_group, join_group, leave_group, set_broadcast, set_multicast_interface,
    set_multicast_loop, set_multicast_ttl,
};
pub(crate) use one_thread::OneThread;
pub(crate) use open::{
    Options, absent_hosts_fill_send_buffer, ask_for_send_buffer, bind, bind_alone, reaches_v4,
    set_buffers, share_port,
};
#[cfg(any(fuzzing, test))]
pub(crate) use platform::read_control_messages;
pub(crate) use platform::{
    Alarm, Child, PROCESSES, Parent, ReceiveBlock, SendQueue, SharedWords, Socket, ThreadProbe,
    ThreadUsage, Waker, ask_for, forbid_fragments, has_memory, is_told_to_leave, leave, listen_to,
    name_thread, rest, segments_work, set_unicast_interface, threads, try_thread,
};
pub(crate) use send_loop::{Patience, SendReport, same, send_one};
pub(crate) use sending::{set_dscp, set_hop_limit};
pub(crate) use servable::check_servable;
pub(crate) use unix_addr::LocalName;
#[cfg(unix)]
pub use unix_addr::UnixAddr;
#[cfg(not(unix))]
pub(crate) use unix_addr::UnixAddr;
#[cfg(unix)]
pub(crate) use unix_socket::{UnixOptions, UnixSource, is_unix_datagram};

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What [`Socket::receive`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "platforms without anything optional refuse nothing"
)]
pub(crate) enum Received {
    /// This many datagrams stand in the block.
    Datagrams(usize),
    /// Somebody rang the waker. It is silent again.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// The system was found to refuse something, which costs speed and nothing
    /// else: a line for the log, told once.
    Degraded(&'static str),
}

/// What a [`Parent`] has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "platforms without processes hear nothing")]
pub(crate) enum Hark {
    /// A signal asks for the end.
    Stop,
    /// Somebody rang the waker. It is silent again.
    Woken,
    Nothing,
}

/// How a [`Child`] has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "platforms without processes have no children")]
pub(crate) enum Death {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Somebody else has reaped it.
    Unknown,
}

/// What [`Socket::wait_for_any`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "platforms with one socket never wait for any")]
pub(crate) enum Ready {
    /// This socket can be received from.
    Socket(usize),
    /// Somebody rang the waker. It is silent again.
    Woken,
    /// The time is up.
    Nothing,
}

/// How a [`Socket`] takes over what was bound.
#[derive(Debug, Clone, Copy, Default)]
#[allow(dead_code, reason = "platforms without these options pass over them")]
pub(crate) struct TakeOver {
    /// Nobody has an opinion of what becomes of datagrams longer than the route
    /// takes: the default may be set.
    pub(crate) ignore_path_mtu: bool,
    /// Datagrams shall carry the time at which they were received.
    pub(crate) stamps: bool,
    /// Several datagrams of one peer may be received as one and split here.
    pub(crate) coalesce: bool,
    /// Which of the server's sockets it is.
    pub(crate) number: u16,
}

/// How much a [`ReceiveBlock`] has room for.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "a block of one slot passes over the others")]
pub(crate) struct BlockShape {
    /// Datagrams, or GRO buffers of them.
    pub(crate) slots: usize,
    /// The longest datagram, in bytes.
    pub(crate) max_packet_size: usize,
    /// Each slot may receive a GRO buffer: several datagrams as one
    /// ([`Socket::receives_gro`]).
    pub(crate) gro: bool,
    /// Senders are named by Unix addresses.
    pub(crate) unix: bool,
}

/// What the kernel can be asked to tell of each datagram received, beside what
/// the server needs itself. Each is one more control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// When the kernel received it.
    Time,
    /// By which interface, and to which address.
    Interface,
    HopLimit,
    TrafficClass,
}

/// How a [`SendQueue`] sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueOptions {
    /// Equal-sized datagrams to one destination leave as one segmented send.
    /// Only where [`segments_work`] says yes.
    #[allow(dead_code, reason = "platforms without segmented sends pass over it")]
    pub(crate) coalesce: bool,
}

/// The local end of a datagram: the address that answers leave from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalEnd {
    pub(crate) ip: IpAddr,
    /// The number of the interface it came in by.
    pub(crate) interface: u32,
}

/// One received datagram: its bytes, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    /// The payload, never longer than the block's largest datagram.
    pub(crate) bytes: &'a [u8],
    pub(crate) meta: Meta,
    /// The sender's name on a Unix socket, as [`UnixAddr::from_name`] takes it; empty
    /// otherwise.
    pub(crate) name: &'a [u8],
}

/// What is known of a received datagram beside its bytes. What a platform
/// cannot tell is `None` or `false`, as in the default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meta {
    /// The sender; `None` when the kernel named none.
    pub(crate) peer: Option<SocketAddr>,
    /// Where answers leave from, if the socket tells: one that is bound to one
    /// address of this host has no need to.
    pub(crate) local: Option<LocalEnd>,
    /// The address that it was sent to: this host's, a group or a broadcast address.
    pub(crate) sent_to: Option<IpAddr>,
    /// The number of the interface it came in by; 0 where that is not known.
    pub(crate) interface: u32,
    /// When the kernel received it, since the epoch of the system's clock, if
    /// the socket was asked to tell.
    pub(crate) stamp: Option<Duration>,
    /// TTL or hop limit, if the socket was asked to tell.
    pub(crate) hop_limit: Option<u8>,
    /// DSCP and ECN, as the octet of the IP header has them, if the socket was
    /// asked to tell.
    pub(crate) traffic_class: Option<u8>,
    /// Whether the datagram was longer than its bytes.
    pub(crate) truncated: bool,
    /// Whether these may be several datagrams that cannot be told apart.
    pub(crate) unsplit: bool,
    /// Which of the server's sockets it came in by: answers leave by the same.
    pub(crate) socket: u16,
}

/// Shows an IPv4 address that is mapped into IPv6 (RFC 4291, section 2.5.5.2) as
/// what it is.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

/// Maps an IPv4 address into IPv6 for a socket of that family, and back for one
/// of the other.
fn mapped(addr: SocketAddr, to_v6: bool) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if to_v6 => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) if !to_v6 => unmapped(addr),
        _ => addr,
    }
}

/// The largest UDP payload towards `peer`, in bytes: what is left of 65,535 after
/// the UDP header (8) and, for IPv4, the IP header (20), which its length field
/// counts (RFC 768, RFC 791, RFC 8200).
pub(crate) fn max_payload(peer: &SocketAddr) -> usize {
    match unmapped(*peer) {
        SocketAddr::V6(_) => 65_527,
        SocketAddr::V4(_) => 65_507,
    }
}
