//! Sources that must never reach a handler.

use std::net::{IpAddr, SocketAddr};

/// Why nobody can be reached at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImpossibleSource {
    PortZero,
    Unspecified,
    Multicast,
    Broadcast,
    OwnAddress,
    /// The kernel named no peer.
    Unnamed,
}

/// Why nobody can be reached at `peer`, or only this server itself, bound
/// to `local`: such a datagram is forged or a fault.
///
/// - Port 0 is reserved (RFC 768); a reply fails with `EINVAL`.
/// - To the unspecified address Linux sends to *this host*, without an error.
/// - Multicast and broadcast addresses are never sources (RFC 1122, 3.2.1.3).
/// - A reply to oneself is received again, for ever. A server bound to a
///   wildcard has all addresses of the host, and one bound to a group sends from
///   any of them: `is_own` is asked whether the peer's is one, only if the port
///   is the server's.
pub(crate) fn impossible_source(
    peer: SocketAddr,
    local: SocketAddr,
    is_own: impl FnOnce(IpAddr) -> bool,
) -> Option<ImpossibleSource> {
    let ip = peer.ip();
    let is_self = || {
        peer.port() == local.port()
            && (ip == local.ip() || (has_many_addresses(local.ip()) && is_own(ip)))
    };
    if peer.port() == 0 {
        Some(ImpossibleSource::PortZero)
    } else if ip.is_unspecified() {
        Some(ImpossibleSource::Unspecified)
    } else if ip.is_multicast() {
        Some(ImpossibleSource::Multicast)
    } else if matches!(ip, IpAddr::V4(v4) if v4.is_broadcast()) {
        Some(ImpossibleSource::Broadcast)
    } else if is_self() {
        Some(ImpossibleSource::OwnAddress)
    } else {
        None
    }
}

fn has_many_addresses(local: IpAddr) -> bool {
    local.is_unspecified() || local.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::ImpossibleSource::*;
    use super::*;

    /// On a host whose one address is 192.0.2.1.
    #[track_caller]
    fn judge_at(peer: &str, local: &str) -> Option<ImpossibleSource> {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("a valid address");
        impossible_source(addr(peer), addr(local), |ip| ip == addr("192.0.2.1:0").ip())
    }

    #[track_caller]
    fn judge(peer: &str) -> Option<ImpossibleSource> {
        judge_at(peer, "192.0.2.1:4000")
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
    fn a_server_on_a_wildcard_knows_itself_by_any_address_of_the_host() {
        let own = Some(OwnAddress);
        assert_eq!(judge_at("192.0.2.1:4000", "0.0.0.0:4000"), own);
        assert_eq!(judge_at("192.0.2.1:4000", "[::]:4000"), own);
        assert_eq!(
            judge_at("192.0.2.1:4000", "239.1.2.3:4000"),
            own,
            "a group's"
        );
        for (peer, what) in [("192.0.2.1:4001", "port"), ("192.0.2.2:4000", "host")] {
            assert_eq!(judge_at(peer, "0.0.0.0:4000"), None, "another {what}");
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
