//! Sources that must never reach a handler.

use std::net::{IpAddr, SocketAddr};

/// Whether nobody can be reached at `peer`, or only this server itself, bound
/// to `local`: such a datagram is forged or a fault.
///
/// - Port 0 is reserved (RFC 768); a reply fails with `EINVAL`.
/// - To the unspecified address Linux sends to *this host*, without an error.
/// - Multicast and broadcast addresses are never sources (RFC 1122, 3.2.1.3).
/// - A reply to oneself is received again, for ever.
pub(crate) fn is_impossible_source(peer: SocketAddr, local: SocketAddr) -> bool {
    let ip = peer.ip();
    peer.port() == 0
        || ip.is_unspecified()
        || ip.is_multicast()
        || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
        || (peer.port() == local.port() && ip == local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn judge(peer: &str) -> bool {
        let local = "192.0.2.1:4000".parse().expect("a valid address");
        is_impossible_source(peer.parse().expect("a valid address"), local)
    }

    #[test]
    fn impossible_sources_are_refused() {
        for peer in [
            "192.0.2.7:0",
            "0.0.0.0:99",
            "[::]:99",
            "224.0.0.1:99",
            "[ff02::1]:99",
            "255.255.255.255:99",
            "192.0.2.1:4000",
        ] {
            assert!(judge(peer), "{peer}");
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
            assert!(!judge(peer), "{peer}");
        }
    }
}
