//! Segmented sends (`UDP_SEGMENT`): the control message that asks for one, and
//! whether this system does them.

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::time::Duration;

use super::check;

/// A control message that says: cut this into segments of so many bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct SegmentControl {
    header: libc::cmsghdr,
    segment: u16,
    /// Up to the alignment of the next control message.
    padding: [u8; 6],
}

impl SegmentControl {
    /// The room it takes, in bytes.
    pub(super) const LEN: usize = size_of::<Self>();

    pub(super) fn new(segment: u16) -> Self {
        // SAFETY: all-zero is a valid `cmsghdr`; some platforms pad it.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Self {
            header,
            segment,
            padding: [0; 6],
        }
    }
}

/// Whether segmented sends work here: tried once per process, on loopback.
pub(super) fn segments_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| {
        let works = try_segments().unwrap_or(false);
        if !works {
            log::debug!("segmented sends (UDP_SEGMENT) do not work here: replies leave one by one");
        }
        works
    })
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
    let mut control = SegmentControl::new(3);
    // SAFETY: all-zero is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = SegmentControl::LEN;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_message_has_the_layout_that_the_kernel_reads() {
        // SAFETY: these macros only compute.
        let (len, space) = unsafe { (libc::CMSG_LEN(2), libc::CMSG_SPACE(2)) };
        let control = SegmentControl::new(64);
        assert_eq!(control.header.cmsg_len, len as usize);
        assert_eq!(SegmentControl::LEN, space as usize);
        assert_eq!(control.segment, 64);
        assert_eq!(control.padding, [0; 6]);
    }
}
