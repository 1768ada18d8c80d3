//! Options of a socket, and what it has queued beside datagrams.

use std::io;
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{getsockopt, sockopt};

use super::check;

/// Makes the socket deaf to "fragmentation needed": anyone can forge it, and a
/// path MTU learnt from it would shrink or fail replies (ip(7),
/// `IP_PMTUDISC_OMIT`). Kernels too old for it keep their default.
pub(super) fn ignore_path_mtu(socket: &UdpSocket, is_v6: bool) {
    let omit_v4: libc::c_int = libc::IP_PMTUDISC_OMIT;
    let _ = set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, omit_v4);
    if is_v6 {
        let omit_v6: libc::c_int = libc::IPV6_PMTUDISC_OMIT;
        let _ = set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, omit_v6);
    }
}

/// Makes the kernel tell where each datagram was sent to (ip(7), `IP_PKTINFO`;
/// ipv6(7), `IPV6_RECVPKTINFO`). A dual-stack socket needs both.
pub(super) fn ask_for_local_ends(socket: &UdpSocket, is_v6: bool) -> io::Result<()> {
    let told_v4 = set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1);
    if is_v6 {
        // Without the first, IPv4 peers of a dual-stack socket are told by the second.
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        // A network that is routed to this host (`ip -6 route add local`) has
        // addresses that no interface has. Without this, a reply from there fails
        // with EINVAL (net/ipv6/datagram.c, `ip6_datagram_send_ctl`); IPv4 asks
        // the routes by itself. Since Linux 4.15; before, such replies fail.
        let _ = set_option(socket, libc::IPPROTO_IPV6, IPV6_FREEBIND, 1);
    } else {
        told_v4?;
    }
    Ok(())
}

/// include/uapi/linux/in6.h; the `libc` crate has none.
const IPV6_FREEBIND: libc::c_int = 78;

/// Whether `UDP_GRO` is on, whoever switched it on: a socket that was handed in
/// may have come with it. Systems that cannot be asked are taken at their word
/// when it was `switched_on` here.
pub(super) fn receives_gro(socket: &UdpSocket, switched_on: bool) -> bool {
    getsockopt(socket, sockopt::UdpGroSegment).unwrap_or(switched_on)
}

pub(super) fn set_option(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<usize> {
    // SAFETY: the option value is a local `c_int`, read during the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
}

/// Empties the queue of errors that a socket with `IP_RECVERR` or stamps for
/// sends has (recvmsg(2), `MSG_ERRQUEUE`): as long as there is one, the socket
/// polls ready. Only a socket that was handed in may have been set up so.
/// Returns how many there were.
pub(super) fn discard_error_queue(socket: &UdpSocket) -> u32 {
    for discarded in 0..MOST_ERRORS_DISCARDED {
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: nothing is written: there is no room to write to.
        let result = unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), 0, flags) };
        if result < 0 {
            return discarded;
        }
    }
    MOST_ERRORS_DISCARDED
}

const MOST_ERRORS_DISCARDED: u32 = 1_024;
