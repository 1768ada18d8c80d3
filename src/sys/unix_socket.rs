//! Unix datagram sockets: opened, bound to a file that is removed again, received from
//! and sent by, the same on every platform that has them.
//!
//! The rooms above hold them as a `UdpSocket` of `std`, which owns any descriptor and
//! is asked for nothing here that concerns IP addresses.

use std::fs::{self, File, Permissions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockRef, Socket, Type};

use super::UnixAddr;

/// What is asked of a Unix socket that is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UnixOptions {
    /// A file that stands in the way is removed, if it is a socket that nobody has.
    pub(crate) replace_stale: bool,
    /// The permissions of the file.
    pub(crate) mode: Option<u32>,
}

/// A Unix datagram socket to be served.
#[derive(Debug)]
pub(crate) struct UnixSource {
    pub(super) socket: UnixDatagram,
    pub(super) file: Option<SocketFile>,
}

impl UnixSource {
    /// Opens a socket and binds it.
    pub(crate) fn bind(addr: &UnixAddr, options: UnixOptions) -> io::Result<Self> {
        let path = addr.as_pathname();
        let bound = match open(addr, options) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && options.replace_stale => {
                let path = path.filter(|path| is_stale(path, addr)).ok_or(error)?;
                fs::remove_file(path)?;
                open(addr, options)
            }
            bound => bound,
        };
        let socket = UnixDatagram::from(OwnedFd::from(bound?));
        let file = path.map(SocketFile::of).transpose()?;
        if let (Some(mode), Some(path)) = (options.mode, path) {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(Self { socket, file })
    }

    /// Takes over a socket that was bound by somebody else, whose file is theirs.
    pub(crate) fn given(socket: UnixDatagram) -> io::Result<Self> {
        check_servable_unix(&socket)?;
        Ok(Self { socket, file: None })
    }

    /// Asks for a send buffer of this size; what was granted, in the same unit.
    pub(crate) fn ask_for_send_buffer(&self, size: usize) -> io::Result<usize> {
        super::open::ask_for_send_buffer(&self.socket, size)
    }

    /// Asks for a receive buffer of this size.
    pub(crate) fn set_receive_buffer(&self, size: usize) -> io::Result<()> {
        super::open::set_receive_buffer(&SockRef::from(&self.socket), size)
    }
}

fn open(addr: &UnixAddr, options: UnixOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    if let Some(mode) = options.mode {
        // On Linux a file never has more permissions than its socket when it is bound, so
        // that there is no moment without these. Elsewhere it may fail.
        let same = File::from(socket.as_fd().try_clone_to_owned()?);
        let _ = same.set_permissions(Permissions::from_mode(mode));
    }
    socket.bind(&addr.for_system()?)?;
    Ok(socket)
}

/// Whether this is the file of a socket that is closed.
fn is_stale(path: &Path, addr: &UnixAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        probe.connect(&addr.for_system()?)
    };
    is_socket && refused().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file of a socket that was bound here. It is removed when this is dropped, which
/// has to be before the socket is closed: so long nobody else's file can be taken for it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// A child that was forked has a copy of this, and no business with the file.
    process: u32,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            identity: identity(path)?,
            // The working directory may change.
            path: std::path::absolute(path)?,
            process: std::process::id(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_own && self.process == std::process::id() {
            // Somebody else may have been quicker.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Refuses what is not a Unix datagram socket that has a name and hears everybody.
pub(crate) fn check_servable_unix<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = socket.into();
    let refuse = |problem: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    if !is_unix_datagram(&*socket) {
        return refuse("it is not a Unix datagram socket");
    }
    if local_addr(&socket)?.is_unnamed() {
        return refuse("it has no name: nobody can send to it");
    }
    match socket.peer_addr() {
        Ok(_) => refuse("it is connected and hears nobody else"),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether it is one, in whatever state.
pub(crate) fn is_unix_datagram<'s>(socket: impl Into<SockRef<'s>>) -> bool {
    let socket = socket.into();
    let is_unix = |local: socket2::SockAddr| local.domain() == Domain::UNIX;
    matches!(socket.r#type(), Ok(Type::DGRAM)) && socket.local_addr().is_ok_and(is_unix)
}

pub(super) fn local_addr(socket: &SockRef<'_>) -> io::Result<UnixAddr> {
    Ok(UnixAddr::from_system(&socket.local_addr()?))
}

/// Sends one datagram now or says why not: a peer whose queue is full, for one.
pub(super) fn send_now(socket: &SockRef<'_>, bytes: &[u8], to: &UnixAddr) -> io::Result<()> {
    let to = to.for_system()?;
    socket.send_to_with_flags(bytes, &to, SEND_FLAGS).map(drop)
}

/// Receives one datagram, without waiting: its length, as far as there is room, and its sender.
#[cfg_attr(
    all(target_os = "linux", not(socketserver_portable)),
    allow(dead_code, reason = "Linux receives in batches")
)]
pub(super) fn receive_now(socket: &SockRef<'_>, room: &mut [u8]) -> io::Result<(usize, UnixAddr)> {
    // SAFETY: both types have the same layout, and recvfrom(2) writes initialised bytes
    // alone.
    let room = unsafe { &mut *(std::ptr::from_mut(room) as *mut [MaybeUninit<u8>]) };
    let (len, from) = socket.recv_from_with_flags(room, libc::MSG_DONTWAIT)?;
    Ok((len, UnixAddr::from_system(&from)))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Without a connection nothing is signalled.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT;
