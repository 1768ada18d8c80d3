//! Whether this system does segmented sends (`UDP_SEGMENT`, udp(7)).

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

use super::check;
use super::control::Control;
use crate::logging::log_debug;

/// Whether segmented sends work here: tried once per process, on loopback. The
/// first to ask writes to the log if they do not.
pub(crate) fn segments_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    if let Some(work) = WORK.get() {
        return *work;
    }
    let work = try_segments().unwrap_or(false);
    if WORK.set(work).is_ok() && !work {
        log_debug!("segmented sends (UDP_SEGMENT) do not work here: replies leave one by one");
    }
    work
}

/// Sends two segments at once and looks for two datagrams.
fn try_segments() -> io::Result<bool> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.connect(receiver.local_addr()?)?;
    let payload = *b"abcabc";
    let mut vector = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    let mut control = Control::new();
    control.push_segment(3);
    // SAFETY: all-zero is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = control.len() as _;
    // SAFETY: the header leads to the local variables above, which live through
    // the call; sendmsg(2) does not write to them.
    let sent = unsafe { libc::sendmsg(sender.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    check(sent as libc::c_int)?;
    let mut buffer = [0; 8];
    for _ in 0..2 {
        let len = receiver.recv(&mut buffer)?;
        if &buffer[..len] != b"abc" {
            return Ok(false);
        }
    }
    Ok(true)
}
