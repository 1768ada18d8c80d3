//! Sources that must never reach a handler.

use std::net::{IpAddr, SocketAddr};

use crate::stats::Refusal;

/// Why nobody can be reached at `peer`, or only this server itself: such a
/// datagram is forged or a fault.
///
/// - Port 0 is reserved (RFC 768); a reply fails with `EINVAL`.
/// - To the unspecified address Linux sends to *this host*, without an error.
/// - Multicast and broadcast addresses are never sources (RFC 1122, 3.2.1.3).
/// - A reply to oneself is received again, for ever. `is_self` is asked last:
///   it knows which addresses are the server's own.
pub(super) fn impossible_source(
    peer: SocketAddr,
    is_self: impl FnOnce() -> bool,
) -> Option<Refusal> {
    let ip = peer.ip();
    if peer.port() == 0 {
        Some(Refusal::PortZero)
    } else if ip.is_unspecified() {
        Some(Refusal::Unspecified)
    } else if ip.is_multicast() {
        Some(Refusal::Multicast)
    } else if matches!(ip, IpAddr::V4(v4) if v4.is_broadcast()) {
        Some(Refusal::Broadcast)
    } else if is_self() {
        Some(Refusal::OwnAddress)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Refusal::*;

    /// At a server that is 192.0.2.1:4000.
    #[track_caller]
    fn judge(peer: &str) -> Option<Refusal> {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("a valid address");
        impossible_source(addr(peer), || addr(peer) == addr("192.0.2.1:4000"))
    }

    #[test]
    fn impossible_sources_are_refused_with_the_reason() {
        for (peer, reason) in [
            ("192.0.2.7:0", PortZero),
            ("0.0.0.0:99", Unspecified),
            ("[::]:99", Unspecified),
            ("224.0.0.1:99", Multicast),
            ("[ff02::1]:99", Multicast),
            ("255.255.255.255:99", Broadcast),
            ("192.0.2.1:4000", OwnAddress),
        ] {
            assert_eq!(judge(peer), Some(reason), "{peer}");
        }
    }

    #[test]
    fn ordinary_sources_pass() {
        for peer in [
            "192.0.2.7:99",
            "192.0.2.1:4001",
            "[::1]:99",
            "192.0.2.2:4000",
        ] {
            assert_eq!(judge(peer), None, "{peer}");
        }
    }
}
