//! Descriptors that this process was started with.

use std::io;
use std::net::UdpSocket;

/// What stands under an inherited descriptor.
#[derive(Debug)]
#[cfg_attr(
    not(unix),
    allow(dead_code, reason = "elsewhere nothing is inherited by number")
)]
pub(crate) enum Inherited {
    /// A UDP socket that can be served.
    Udp(UdpSocket),
    /// Anything else.
    #[cfg(unix)]
    Other(std::os::fd::OwnedFd),
}

/// Takes over a descriptor that was open when this process began; children will
/// not inherit it. A UDP socket that cannot be served is refused and left as it is.
///
/// Whoever calls this must have been told, by whoever started the process, that
/// the descriptor is meant for it, and must call it once for each.
#[cfg(unix)]
pub(crate) fn take_inherited(descriptor: i32) -> io::Result<Inherited> {
    use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

    use socket2::SockRef;

    // SAFETY: this call only looks the number up, and fails if nothing is open
    // under it (fcntl(2), `F_GETFD`).
    if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and not −1: that was refused above. Nobody else
    // closes it: it was passed to this process for whoever asks here.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let is_udp = super::servable::is_udp(&borrowed);
    if is_udp {
        super::check_servable(&borrowed)?;
    }
    // A flag of the descriptor, whatever it leads to.
    SockRef::from(&borrowed).set_cloexec(true)?;
    // SAFETY: as above; and it is taken only once, so that this is its owner.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(match is_udp {
        true => Inherited::Udp(UdpSocket::from(owned)),
        false => Inherited::Other(owned),
    })
}

/// Descriptors are inherited by number on Unix alone.
#[cfg(not(unix))]
pub(crate) fn take_inherited(_descriptor: i32) -> io::Result<Inherited> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this platform passes no sockets on by number",
    ))
}
