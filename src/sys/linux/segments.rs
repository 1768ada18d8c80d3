//! Whether this system does segmented sends (`UDP_SEGMENT`, udp(7)).

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

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
    let segments = ControlMessage::UdpGsoSegments(&3);
    let bytes = [IoSlice::new(b"abcabc")];
    let (fd, flags) = (sender.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
    sendmsg::<()>(fd, &bytes, &[segments], flags, None)?;
    let mut buffer = [0; 8];
    for _ in 0..2 {
        let len = receiver.recv(&mut buffer)?;
        if &buffer[..len] != b"abc" {
            return Ok(false);
        }
    }
    Ok(true)
}
