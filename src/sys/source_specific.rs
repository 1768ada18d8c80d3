//! Memberships in what one source sends to a group (RFC 3678).

use std::io;
use std::net::IpAddr;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd", windows))]
use std::net::Ipv4Addr;

use socket2::SockRef;

use super::interface::Resolved;

pub(super) use platform::{join, leave};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod platform {
    use std::mem::size_of;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use super::{IpAddr, Resolved, SockRef, io};

    pub(in crate::sys) fn join(
        socket: &SockRef<'_>,
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<()> {
        match (group, source, on) {
            (IpAddr::V4(group), IpAddr::V4(source), Resolved::Address(ip)) => {
                socket.join_ssm_v4(&source, &group, &ip)
            }
            _ => ask(socket, libc::MCAST_JOIN_SOURCE_GROUP, group, source, on),
        }
    }

    pub(in crate::sys) fn leave(
        socket: &SockRef<'_>,
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<()> {
        match (group, source, on) {
            (IpAddr::V4(group), IpAddr::V4(source), Resolved::Address(ip)) => {
                socket.leave_ssm_v4(&source, &group, &ip)
            }
            _ => ask(socket, libc::MCAST_LEAVE_SOURCE_GROUP, group, source, on),
        }
    }

    /// For both families, by the interface's number.
    fn ask(
        socket: &SockRef<'_>,
        option: libc::c_int,
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<()> {
        let Resolved::Index(index) = on else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let level = match group {
            IpAddr::V4(_) => libc::IPPROTO_IP,
            IpAddr::V6(_) => libc::IPPROTO_IPV6,
        };
        let request = libc::group_source_req {
            gsr_interface: index,
            gsr_group: storage(group),
            gsr_source: storage(source),
        };
        // SAFETY: the option value is a local, of the type that the option takes
        // (RFC 3678, section 5.1), and is only read during the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                option,
                (&raw const request).cast(),
                size_of::<libc::group_source_req>() as libc::socklen_t,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn storage(ip: IpAddr) -> libc::sockaddr_storage {
        let addr = socket2::SockAddr::from(SocketAddr::new(ip, 0));
        // SAFETY: all-zero is a valid address, of no family.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        // SAFETY: `addr` has so many bytes to read, and no address has more than
        // `sockaddr_storage`, which is what that type is for.
        unsafe {
            std::ptr::copy_nonoverlapping(
                addr.as_ptr().cast::<u8>(),
                (&raw mut storage).cast(),
                addr.len() as usize,
            );
        }
        storage
    }
}

/// For IPv4 alone, and by the interface's address.
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd", windows))]
mod platform {
    use super::{IpAddr, Ipv4Addr, Resolved, SockRef, io};

    pub(in crate::sys) fn join(
        socket: &SockRef<'_>,
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<()> {
        let (group, source, on) = v4(group, source, on)?;
        socket.join_ssm_v4(&source, &group, &on)
    }

    pub(in crate::sys) fn leave(
        socket: &SockRef<'_>,
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<()> {
        let (group, source, on) = v4(group, source, on)?;
        socket.leave_ssm_v4(&source, &group, &on)
    }

    fn v4(
        group: IpAddr,
        source: IpAddr,
        on: Resolved,
    ) -> io::Result<(Ipv4Addr, Ipv4Addr, Ipv4Addr)> {
        match (group, source, on) {
            (IpAddr::V4(group), IpAddr::V4(source), Resolved::Address(ip)) => {
                Ok((group, source, ip))
            }
            (IpAddr::V4(group), IpAddr::V4(source), Resolved::Index(0)) => {
                Ok((group, source, Ipv4Addr::UNSPECIFIED))
            }
            (IpAddr::V4(_), ..) => Err(crate::sys::multicast::address_wanted()),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this platform has sources of groups for IPv4 alone",
            )),
        }
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    windows
)))]
mod platform {
    use super::{IpAddr, Resolved, SockRef, io};

    pub(in crate::sys) fn join(
        _: &SockRef<'_>,
        _: IpAddr,
        _: IpAddr,
        _: Resolved,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in crate::sys) fn leave(
        _: &SockRef<'_>,
        _: IpAddr,
        _: IpAddr,
        _: Resolved,
    ) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
