//! Options of a socket for all that it sends, as every platform has them.

use std::io;

use socket2::SockRef;

use super::multicast::for_families;

/// The DSCP of what is sent, from 0 to 63 (`IP_TOS`, `IPV6_TCLASS`).
pub(crate) fn set_dscp<'s>(socket: impl Into<SockRef<'s>>, dscp: u8) -> io::Result<()> {
    let class = u32::from(dscp) << 2;
    for_families(
        socket.into(),
        |socket| socket.set_tos_v4(class),
        |socket| set_class_v6(socket, class),
    )
}

/// How many routers what is sent to one host may pass, and one (`IP_TTL`,
/// `IPV6_UNICAST_HOPS`).
pub(crate) fn set_hop_limit<'s>(socket: impl Into<SockRef<'s>>, hops: u8) -> io::Result<()> {
    for_families(
        socket.into(),
        |socket| socket.set_ttl_v4(hops.into()),
        |socket| socket.set_unicast_hops_v6(hops.into()),
    )
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
))]
fn set_class_v6(socket: &SockRef<'_>, class: u32) -> io::Result<()> {
    socket.set_tclass_v6(class)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "macos"
)))]
fn set_class_v6(_socket: &SockRef<'_>, _class: u32) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this platform has no traffic class for IPv6",
    ))
}
