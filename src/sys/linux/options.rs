//! Options of a socket, and what it has queued beside datagrams.

use std::io;
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{getsockopt, sockopt};

use super::check;
use crate::sys::interface::Resolved;
use crate::sys::{Detail, Interface};

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

/// Makes the socket send each datagram whole or not at all: one that is longer
/// than its interface takes fails with `EMSGSIZE`, and IPv4 packets say "don't
/// fragment" to routers (ip(7), `IP_PMTUDISC_PROBE`). Deaf to "fragmentation
/// needed" all the same.
pub(crate) fn forbid_fragments(socket: &UdpSocket) -> io::Result<()> {
    let probe_v4: libc::c_int = libc::IP_PMTUDISC_PROBE;
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, probe_v4)?;
    if is_v6(socket)? {
        let probe_v6: libc::c_int = libc::IPV6_PMTUDISC_PROBE;
        set_option(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            probe_v6,
        )?;
    }
    Ok(())
}

/// The interface that what is sent to one host leaves by (ip(7),
/// `IP_UNICAST_IF`; its twin for IPv6 is newer than ipv6(7)). The kernel takes
/// the number in network byte order.
pub(crate) fn set_unicast_interface(socket: &UdpSocket, on: &Interface) -> io::Result<()> {
    let Resolved::Index(index) = on.resolve()? else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is told by its index or name",
        ));
    };
    let index = (index as libc::c_int).to_be();
    set_option(socket, libc::IPPROTO_IP, libc::IP_UNICAST_IF, index)?;
    if is_v6(socket)? {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_IF, index)?;
    }
    Ok(())
}

/// Makes the kernel tell more of each datagram (socket(7) and ip(7); ipv6(7)). A
/// dual-stack socket is asked for both families.
pub(crate) fn ask_for(socket: &UdpSocket, detail: Detail) -> io::Result<()> {
    let (v4, v6) = match detail {
        Detail::Time => {
            set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
            return Ok(());
        }
        Detail::Interface => return ask_for_local_ends(socket, is_v6(socket)?),
        Detail::HopLimit => (libc::IP_RECVTTL, libc::IPV6_RECVHOPLIMIT),
        Detail::TrafficClass => (libc::IP_RECVTOS, libc::IPV6_RECVTCLASS),
    };
    set_option(socket, libc::IPPROTO_IP, v4, 1)?;
    if is_v6(socket)? {
        set_option(socket, libc::IPPROTO_IPV6, v6, 1)?;
    }
    Ok(())
}

fn is_v6(socket: &UdpSocket) -> io::Result<bool> {
    Ok(socket.local_addr()?.is_ipv6())
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
