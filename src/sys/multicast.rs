//! Options of a socket that sends to many or hears what was sent to many.
//!
//! All take any socket: one that was just bound, one that was handed in, one
//! that is being served.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::SockRef;

use super::interface::Resolved;
use super::{Interface, source_specific};

/// Whether a socket bound to `local` can hear what is sent to `group`: if not,
/// joining would succeed, and nothing would ever come.
///
/// Unix compares the address a datagram was sent to with the one that the
/// socket is bound to. Elsewhere a socket bound to an interface's address hears
/// the groups that are joined there.
pub(crate) fn hears_group(local: SocketAddr, group: IpAddr) -> bool {
    let local = local.ip().to_canonical();
    !cfg!(unix) || local.is_unspecified() || local == group
}

/// What a socket is a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) group: IpAddr,
    /// The one source that is heard; `None` hears all.
    pub(crate) source: Option<IpAddr>,
    pub(crate) interface: Interface,
}

impl Membership {
    /// The same on the interface of this number; 0 leaves the choice to the system.
    pub(crate) fn at(&self, number: u32) -> Self {
        let interface = match number {
            0 => Interface::Any,
            _ => Interface::Index(number),
        };
        Self {
            interface,
            ..self.clone()
        }
    }
}

/// Joins a group.
pub(crate) fn join_group<'s>(
    socket: impl Into<SockRef<'s>>,
    membership: &Membership,
) -> io::Result<()> {
    let socket = socket.into();
    let on = &membership.interface;
    match (membership.group, membership.source) {
        (group, Some(source)) => source_specific::join(&socket, group, source, on.resolve()?),
        (IpAddr::V4(group), None) => v4::join(&socket, group, on.resolve()?),
        (IpAddr::V6(group), None) => socket.join_multicast_v6(&group, v6_interface(on)?),
    }
}

/// Leaves a group that was joined so.
pub(crate) fn leave_group<'s>(
    socket: impl Into<SockRef<'s>>,
    membership: &Membership,
) -> io::Result<()> {
    let socket = socket.into();
    let on = &membership.interface;
    match (membership.group, membership.source) {
        (group, Some(source)) => source_specific::leave(&socket, group, source, on.resolve()?),
        (IpAddr::V4(group), None) => v4::leave(&socket, group, on.resolve()?),
        (IpAddr::V6(group), None) => socket.leave_multicast_v6(&group, v6_interface(on)?),
    }
}

/// How many routers what is sent to groups may pass (`IP_MULTICAST_TTL`,
/// `IPV6_MULTICAST_HOPS`).
pub(crate) fn set_multicast_ttl<'s>(socket: impl Into<SockRef<'s>>, ttl: u32) -> io::Result<()> {
    for_families(
        socket.into(),
        |socket| socket.set_multicast_ttl_v4(ttl),
        |socket| socket.set_multicast_hops_v6(ttl),
    )
}

/// Whether this host hears what it sends to groups itself (`IP_MULTICAST_LOOP`,
/// `IPV6_MULTICAST_LOOP`).
pub(crate) fn set_multicast_loop<'s>(socket: impl Into<SockRef<'s>>, on: bool) -> io::Result<()> {
    for_families(
        socket.into(),
        |socket| socket.set_multicast_loop_v4(on),
        |socket| socket.set_multicast_loop_v6(on),
    )
}

/// Where what is sent to groups goes out (`IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`).
pub(crate) fn set_multicast_interface<'s>(
    socket: impl Into<SockRef<'s>>,
    on: &Interface,
) -> io::Result<()> {
    let resolved = on.resolve()?;
    for_families(
        socket.into(),
        |socket| match resolved {
            Resolved::Address(ip) => socket.set_multicast_if_v4(&ip),
            Resolved::Index(0) => socket.set_multicast_if_v4(&Ipv4Addr::UNSPECIFIED),
            Resolved::Index(index) => set_v4_interface_index(socket, index),
        },
        |socket| match resolved {
            Resolved::Index(index) => socket.set_multicast_if_v6(index),
            // It says where IPv4 goes out; for IPv6 the system still chooses.
            Resolved::Address(_) => Ok(()),
        },
    )
}

/// Whether sending to broadcast addresses is allowed (`SO_BROADCAST`).
pub(crate) fn set_broadcast<'s>(socket: impl Into<SockRef<'s>>, allow: bool) -> io::Result<()> {
    socket.into().set_broadcast(allow)
}

/// Makes a socket hear the groups that it joined itself, and no others.
///
/// Linux delivers to a socket bound to a wildcard what is sent to any group
/// that any program of the host joined (ip(7), `IP_MULTICAST_ALL`; ipv6(7) does
/// not tell of its twin). Elsewhere that is not so. Kernels before 4.20 have
/// the option for IPv4 alone.
#[cfg(target_os = "linux")]
pub(super) fn hear_joined_groups_only(socket: &socket2::Socket, is_v6: bool) {
    let told = |option: &str, result: io::Result<()>| {
        if let Err(error) = result {
            crate::logging::log_debug!(
                "other programs' groups will be heard, too: {error} ({option})"
            );
        }
    };
    told("IP_MULTICAST_ALL", socket.set_multicast_all_v4(false));
    if is_v6 {
        told("IPV6_MULTICAST_ALL", socket.set_multicast_all_v6(false));
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn hear_joined_groups_only(_socket: &socket2::Socket, _is_v6: bool) {}

/// Sets the options of each family that a socket sends to.
///
/// A dual-stack socket has both on Linux. Elsewhere its IPv4 side cannot be set.
pub(super) fn for_families(
    socket: SockRef<'_>,
    v4: impl FnOnce(&SockRef<'_>) -> io::Result<()>,
    v6: impl FnOnce(&SockRef<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let local = socket.local_addr()?;
    if local.is_ipv4() {
        return v4(&socket);
    }
    v6(&socket)?;
    if cfg!(any(target_os = "linux", target_os = "android")) && !socket.only_v6()? {
        v4(&socket)?;
    }
    Ok(())
}

fn v6_interface(on: &Interface) -> io::Result<u32> {
    match on.resolve()? {
        Resolved::Index(index) => Ok(index),
        Resolved::Address(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an IPv6 group is joined on an interface by its index or name",
        )),
    }
}

/// Says by its number where IPv4 goes out.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_v4_interface_index(socket: &SockRef<'_>, index: u32) -> io::Result<()> {
    use nix::sys::socket::SetSockOpt;
    use nix::{setsockopt_impl, sockopt_impl};

    // `socket2` and `nix` know the older form of this option, which has an address.
    sockopt_impl!(
        ByIndex,
        SetOnly,
        libc::IPPROTO_IP,
        libc::IP_MULTICAST_IF,
        libc::ip_mreqn
    );
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: i32::try_from(index)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
    };
    Ok(ByIndex.set(&**socket, &request)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_v4_interface_index(_socket: &SockRef<'_>, _index: u32) -> io::Result<()> {
    Err(address_wanted())
}

/// Memberships where an interface is known by its number.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    windows
))]
mod v4 {
    use super::{Ipv4Addr, Resolved, SockRef, io};
    use socket2::InterfaceIndexOrAddress;

    pub(super) fn join(socket: &SockRef<'_>, group: Ipv4Addr, on: Resolved) -> io::Result<()> {
        socket.join_multicast_v4_n(&group, &interface(on))
    }

    pub(super) fn leave(socket: &SockRef<'_>, group: Ipv4Addr, on: Resolved) -> io::Result<()> {
        socket.leave_multicast_v4_n(&group, &interface(on))
    }

    fn interface(on: Resolved) -> InterfaceIndexOrAddress {
        match on {
            Resolved::Index(0) => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
            Resolved::Index(index) => InterfaceIndexOrAddress::Index(index),
            Resolved::Address(ip) => InterfaceIndexOrAddress::Address(ip),
        }
    }
}

/// Memberships where an interface is known by its address alone.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    windows
)))]
mod v4 {
    use super::{Ipv4Addr, Resolved, SockRef, io};

    pub(super) fn join(socket: &SockRef<'_>, group: Ipv4Addr, on: Resolved) -> io::Result<()> {
        socket.join_multicast_v4(&group, &address(on)?)
    }

    pub(super) fn leave(socket: &SockRef<'_>, group: Ipv4Addr, on: Resolved) -> io::Result<()> {
        socket.leave_multicast_v4(&group, &address(on)?)
    }

    fn address(on: Resolved) -> io::Result<Ipv4Addr> {
        match on {
            Resolved::Index(0) => Ok(Ipv4Addr::UNSPECIFIED),
            Resolved::Index(_) => Err(super::address_wanted()),
            Resolved::Address(ip) => Ok(ip),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn address_wanted() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "for IPv4 this platform takes an interface by its address",
    )
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_about_sending_is_set_for_both_families_of_a_dual_stack_socket() {
        const LO: u32 = 1;
        let Ok(socket) = std::net::UdpSocket::bind("[::]:0") else {
            return;
        };
        let socket = SockRef::from(&socket);
        assert!(!socket.only_v6().expect("an option"), "Linux's default");
        set_multicast_ttl(&*socket, 9).expect("an option");
        set_multicast_loop(&*socket, false).expect("an option");
        set_multicast_interface(&*socket, &Interface::Index(LO)).expect("an option");
        assert_eq!(socket.multicast_ttl_v4().expect("an option"), 9);
        assert_eq!(socket.multicast_hops_v6().expect("an option"), 9);
        assert!(!socket.multicast_loop_v4().expect("an option"));
        assert!(!socket.multicast_loop_v6().expect("an option"));
        assert_eq!(socket.multicast_if_v6().expect("an option"), LO);
    }
}
