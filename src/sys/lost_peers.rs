//! What a socket that serves many hears of peers that are gone.

use std::net::UdpSocket;

/// Switches off that a receive fails because an earlier reply found no one
/// (`SIO_UDP_CONNRESET`): on Windows alone a socket that is not connected is told,
/// once for each such reply, in place of a datagram. Where it cannot be switched
/// off, each is counted as a receive error.
#[cfg(windows)]
pub(super) fn ignore_lost_peers(socket: &UdpSocket) {
    use std::os::windows::io::AsRawSocket;
    use windows_sys::Win32::Networking::WinSock::{SIO_UDP_CONNRESET, SOCKET, WSAIoctl};

    let off: u32 = 0;
    let mut returned = 0;
    // SAFETY: the socket is open, as it is borrowed. `WSAIoctl` reads a `BOOL` of
    // four bytes, writes no output into the null buffer of length 0, and writes
    // `returned`; without an OVERLAPPED structure it does so before it returns.
    let result = unsafe {
        WSAIoctl(
            socket.as_raw_socket() as SOCKET,
            SIO_UDP_CONNRESET,
            (&raw const off).cast(),
            size_of::<u32>() as u32,
            std::ptr::null_mut(),
            0,
            &mut returned,
            std::ptr::null_mut(),
            None,
        )
    };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        crate::logging::log_warn!("each client that is gone will cost a receive error: {error}");
    }
}

/// Elsewhere only a connected socket is told.
#[cfg(not(windows))]
pub(super) fn ignore_lost_peers(_socket: &UdpSocket) {}
