//! Sources that must never reach a handler.

use std::net::{IpAddr, SocketAddr};

/// Whether nobody can be reached at `peer`, or only this server itself, bound
/// to `local`: such a datagram is forged or a fault.
///
/// - Port 0 is reserved (RFC 768); a reply fails with `EINVAL`.
/// - To the unspecified address Linux sends to *this host*, without an error.
/// - Multicast and broadcast addresses are never sources (RFC 1122, 3.2.1.3).
/// - A reply to oneself is received again, for ever. A server bound to a
///   wildcard has all addresses of the host, and one bound to a group sends from
///   any of them: `is_own` is asked whether the peer's is one, only if the port
///   is the server's.
pub(crate) fn is_impossible_source(
    peer: SocketAddr,
    local: SocketAddr,
    is_own: impl FnOnce(IpAddr) -> bool,
) -> bool {
    let ip = peer.ip();
    peer.port() == 0
        || ip.is_unspecified()
        || ip.is_multicast()
        || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
        || (peer.port() == local.port()
            && (ip == local.ip() || (has_many_addresses(local.ip()) && is_own(ip))))
}

fn has_many_addresses(local: IpAddr) -> bool {
    local.is_unspecified() || local.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a host whose one address is 192.0.2.1.
    #[track_caller]
    fn judge_at(peer: &str, local: &str) -> bool {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("a valid address");
        is_impossible_source(addr(peer), addr(local), |ip| ip == addr("192.0.2.1:0").ip())
    }

    #[track_caller]
    fn judge(peer: &str) -> bool {
        judge_at(peer, "192.0.2.1:4000")
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
    fn a_server_on_a_wildcard_knows_itself_by_any_address_of_the_host() {
        assert!(judge_at("192.0.2.1:4000", "0.0.0.0:4000"));
        assert!(judge_at("192.0.2.1:4000", "[::]:4000"));
        assert!(judge_at("192.0.2.1:4000", "239.1.2.3:4000"), "a group's");
        assert!(!judge_at("192.0.2.1:4001", "0.0.0.0:4000"), "another port");
        assert!(!judge_at("192.0.2.2:4000", "0.0.0.0:4000"), "another host");
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
