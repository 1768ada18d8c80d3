//! What the kernel tells of a socket's memory.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Looks at a socket's memory, and carries its counter of drops, which the
/// kernel keeps in 32 bits, on in 64.
#[derive(Debug)]
pub(super) struct Memory {
    drops: WideCounter,
}

/// What one look saw.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Bytes that waiting datagrams hold.
    pub(super) waiting: u32,
    /// Bytes that they may hold.
    pub(super) receive_buffer: u32,
    /// Datagrams dropped since this began.
    pub(super) drops: u64,
}

impl Memory {
    /// From now on.
    pub(super) fn of(socket: &UdpSocket) -> Self {
        let drops = memory_info(socket).map_or(0, |info| info[SK_MEMINFO_DROPS]);
        Self {
            drops: WideCounter::from(drops),
        }
    }

    /// `None` from kernels that do not tell.
    pub(super) fn look(&self, socket: &UdpSocket) -> Option<Usage> {
        let info = memory_info(socket)?;
        Some(Usage {
            waiting: info[SK_MEMINFO_RMEM_ALLOC],
            receive_buffer: info[SK_MEMINFO_RCVBUF],
            drops: self.drops.advance(info[SK_MEMINFO_DROPS]),
        })
    }
}

/// A counter of 32 bits that goes round, carried on in 64. It has to be looked
/// at before it has gone half way: whoever watches for a full buffer does.
#[derive(Debug)]
struct WideCounter {
    /// Its low half is what was seen last.
    seen: AtomicU64,
    first: u64,
}

impl WideCounter {
    fn from(first: u32) -> Self {
        let first = u64::from(first);
        let seen = AtomicU64::new(first);
        Self { seen, first }
    }

    /// The count since it began, given what it reads now.
    fn advance(&self, now: u32) -> u64 {
        let ahead = |seen: u64| {
            let step = now.wrapping_sub(seen as u32);
            // A step back is a look that another thread's has overtaken.
            (1..=u32::MAX / 2)
                .contains(&step)
                .then(|| seen + u64::from(step))
        };
        let seen = match self.seen.fetch_update(Relaxed, Relaxed, ahead) {
            Ok(before) => ahead(before).unwrap_or(before),
            Err(unchanged) => unchanged,
        };
        seen - self.first
    }
}

/// `SO_MEMINFO`: the socket's memory counters, exact at any time
/// (include/uapi/linux/sock_diag.h).
fn memory_info(socket: &UdpSocket) -> Option<[u32; SK_MEMINFO_VARS]> {
    let mut info = [0_u32; SK_MEMINFO_VARS];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` is writable for `len` bytes, and both live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    let whole = len as usize == size_of_val(&info);
    (result == 0 && whole).then_some(info)
}

/// include/uapi/asm-generic/socket.h
const SO_MEMINFO: libc::c_int = 55;
const SK_MEMINFO_RMEM_ALLOC: usize = 0;
const SK_MEMINFO_RCVBUF: usize = 1;
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_goes_round_goes_on() {
        let counter = WideCounter::from(u32::MAX - 1);
        assert_eq!(counter.advance(u32::MAX), 1);
        assert_eq!(counter.advance(2), 4);
        let mut expected = 4;
        let quarter = 1_u32 << 30;
        for at in (0..8_u32).map(|quarters| quarter.wrapping_mul(quarters + 1)) {
            expected += u64::from(quarter);
            assert_eq!(counter.advance(at.wrapping_add(2)), expected);
        }
    }

    #[test]
    fn a_look_that_was_overtaken_takes_nothing_back() {
        let counter = WideCounter::from(0);
        assert_eq!(counter.advance(7), 7);
        assert_eq!(counter.advance(5), 7);
        assert_eq!(counter.advance(8), 8);
    }
}
