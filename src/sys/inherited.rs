//! Sockets that this process was started with.

use std::io;
use std::net::UdpSocket;

/// Takes over a descriptor that was open when this process began, if it is a
/// socket that can be served; children will not inherit it. What is refused is
/// left as it is: it may be something else's.
///
/// Whoever calls this must have been told, by whoever started the process, that
/// the descriptor is meant for it, and must call it once for each.
#[cfg(unix)]
pub(crate) fn take_inherited(descriptor: i32) -> io::Result<UdpSocket> {
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
    super::check_servable(&borrowed)?;
    SockRef::from(&borrowed).set_cloexec(true)?;
    // SAFETY: as above; and it is taken only once, so that this is its owner.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(UdpSocket::from(owned))
}

/// Descriptors are inherited by number on Unix alone.
#[cfg(not(unix))]
pub(crate) fn take_inherited(_descriptor: i32) -> io::Result<UdpSocket> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this platform passes no sockets on by number",
    ))
}
