//! Sources that must never reach a handler.

use std::net::{IpAddr, SocketAddr};

use crate::stats::Refusal;

/// Sources that are refused unless they are allowed by name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AllowedSources {
    pub(crate) unspecified: bool,
    pub(crate) port_zero: bool,
    pub(crate) own_address: bool,
}

/// Why nobody can be reached at `peer`, or only this server itself: such a
/// datagram is forged or a fault, unless the protocol says otherwise and the
/// source is `allowed`.
///
/// - Port 0 is reserved (RFC 768); a reply fails with `EINVAL`.
/// - To the unspecified address Linux sends to *this host*, without an error.
/// - Multicast and broadcast addresses are never sources (RFC 1122, 3.2.1.3).
/// - A reply to oneself is received again, for ever. `is_self` is asked last:
///   it knows which addresses are the server's own. The unspecified address is
///   none of them: whoever sends from there has no address yet.
pub(super) fn impossible_source(
    peer: SocketAddr,
    allowed: AllowedSources,
    is_self: impl FnOnce() -> bool,
) -> Option<Refusal> {
    let ip = peer.ip();
    if peer.port() == 0 && !allowed.port_zero {
        Some(Refusal::PortZero)
    } else if ip.is_unspecified() {
        (!allowed.unspecified).then_some(Refusal::Unspecified)
    } else if ip.is_multicast() {
        Some(Refusal::Multicast)
    } else if matches!(ip, IpAddr::V4(v4) if v4.is_broadcast()) {
        Some(Refusal::Broadcast)
    } else if !allowed.own_address && is_self() {
        Some(Refusal::OwnAddress)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Refusal::*;

    /// At a server that is 192.0.2.1:4000, and bound to 0.0.0.0:4000.
    #[track_caller]
    fn judge(peer: &str, allowed: AllowedSources) -> Option<Refusal> {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("a valid address");
        let own = [addr("192.0.2.1:4000"), addr("0.0.0.0:4000")];
        impossible_source(addr(peer), allowed, || own.contains(&addr(peer)))
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
            assert_eq!(judge(peer, NONE), Some(reason), "{peer}");
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
            assert_eq!(judge(peer, NONE), None, "{peer}");
        }
    }

    #[test]
    fn each_is_allowed_by_its_name_alone() {
        let unspecified = AllowedSources {
            unspecified: true,
            ..NONE
        };
        let port_zero = AllowedSources {
            port_zero: true,
            ..NONE
        };
        let own_address = AllowedSources {
            own_address: true,
            ..NONE
        };
        for (allowed, peer, reason) in [
            (unspecified, "0.0.0.0:68", None),
            (unspecified, "[::]:68", None),
            (unspecified, "0.0.0.0:4000", None),
            (unspecified, "0.0.0.0:0", Some(PortZero)),
            (unspecified, "192.0.2.1:4000", Some(OwnAddress)),
            (port_zero, "192.0.2.7:0", None),
            (port_zero, "0.0.0.0:0", Some(Unspecified)),
            (port_zero, "224.0.0.1:0", Some(Multicast)),
            (own_address, "192.0.2.1:4000", None),
            (own_address, "0.0.0.0:4000", Some(Unspecified)),
            (own_address, "192.0.2.1:0", Some(PortZero)),
        ] {
            assert_eq!(judge(peer, allowed), reason, "{peer} with {allowed:?}");
        }
    }

    const NONE: AllowedSources = AllowedSources {
        unspecified: false,
        port_zero: false,
        own_address: false,
    };
}
