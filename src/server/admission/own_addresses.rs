//! Whether a peer is this server itself.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::logging::{log_debug, log_warn};
use crate::sys::{HostAddresses, LocalEnd, is_bound_to_one_host};

/// Tells a server by which addresses it could be its own peer.
///
/// Where it is bound to one address of the host, it is that one. Bound to anything else, a
/// wildcard, a group or a broadcast address, it is every address of the host:
/// these are listed at bind and kept. Anyone can make a server look, with a
/// source port that is the server's: so it lists them again at most once a
/// second, on one thread, while all others go by what is known.
///
/// A host may also have a whole network (`ip route add local`), which no list
/// has. But what it sends to itself, from whatever address, comes by the loopback
/// interface: so with the server's port that is the server. A datagram forged
/// from such an address elsewhere may be answered once; the answer comes by the
/// loopback interface, and is refused.
#[derive(Debug)]
pub(crate) struct OwnAddresses {
    /// What its sockets are bound to.
    ends: Box<[End]>,
    begun: Instant,
    /// When they were listed last, in milliseconds since it began.
    listed_at: AtomicU64,
    known: RwLock<Known>,
}

/// What a socket is bound to.
#[derive(Debug)]
struct End {
    /// With mapped IPv4 as what it is, as peers are shown.
    local: SocketAddr,
    is_one_host: bool,
}

#[derive(Debug, Default)]
struct Known {
    listed: HostAddresses,
    /// Addresses that datagrams were sent to since they were listed. Hosts may
    /// have some that no list has: a local route covers a whole network, or the
    /// list is forbidden to this process.
    met: Vec<SocketAddr>,
}

impl Known {
    fn has(&self, addr: SocketAddr) -> bool {
        self.listed.contains(addr) || self.met.contains(&addr)
    }
}

impl OwnAddresses {
    /// Of a server bound to these addresses.
    pub(crate) fn of(locals: &[SocketAddr]) -> Self {
        let listed = match HostAddresses::list() {
            Ok(listed) => listed,
            Err(error) => {
                // It still knows those that it is asked at.
                let local = locals[0];
                log_warn!("{local}: cannot list the addresses of this host: {error}");
                HostAddresses::default()
            }
        };
        let met = Vec::new();
        let ends = locals.iter().map(|local| End {
            local: SocketAddr::new(local.ip().to_canonical(), local.port()),
            is_one_host: is_bound_to_one_host(*local),
        });
        Self {
            ends: ends.collect(),
            begun: Instant::now(),
            listed_at: AtomicU64::new(0),
            known: RwLock::new(Known { listed, met }),
        }
    }

    /// Whether the peer of a datagram that was sent to `to` is this server.
    pub(crate) fn is_self(&self, peer: SocketAddr, to: Option<LocalEnd>) -> bool {
        let mut may_be_any = false;
        for End { local, is_one_host } in &self.ends {
            if peer.port() != local.port() {
                continue;
            }
            if peer.ip() == local.ip() {
                return true;
            }
            may_be_any |= !is_one_host;
        }
        may_be_any
            && (to.is_some_and(LocalEnd::is_on_loopback)
                || self.has_at(peer, to, self.begun.elapsed(), HostAddresses::list))
    }

    fn has_at(
        &self,
        peer: SocketAddr,
        to: Option<LocalEnd>,
        now: Duration,
        list: impl FnOnce() -> io::Result<HostAddresses>,
    ) -> bool {
        self.renew(now, list);
        if let Some(to) = to {
            self.meet(to.with_port(peer.port()));
        }
        // What comes with a flow label is no other address.
        let peer = match peer {
            SocketAddr::V6(mut v6) => {
                v6.set_flowinfo(0);
                v6.into()
            }
            SocketAddr::V4(_) => peer,
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.has(peer)
    }

    /// Lists them again if that was a while ago and nobody else does. No lock is
    /// held while the system is asked.
    fn renew(&self, now: Duration, list: impl FnOnce() -> io::Result<HostAddresses>) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let last = self.listed_at.load(Relaxed);
        let is_due = now.saturating_sub(last) >= KEPT_MILLIS;
        let is_mine = || {
            let won = self.listed_at.compare_exchange(last, now, Relaxed, Relaxed);
            won.is_ok()
        };
        if !is_due || !is_mine() {
            return;
        }
        let listed = list()
            // For want of descriptors, as a rule. What was known is likely true.
            .inspect_err(|error| {
                log_debug!("{}: the host's addresses: {error}", self.ends[0].local)
            });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.met.clear();
        if let Ok(listed) = listed {
            known.listed = listed;
        }
    }

    /// Remembers an address that a datagram was sent to: it is this host's.
    fn meet(&self, own: SocketAddr) {
        let is_news = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.met.len() < MOST_MET && !known.has(own)
        };
        if is_news {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            // Several threads may have come this far with the same.
            if known.met.len() < MOST_MET && !known.met.contains(&own) {
                known.met.push(own);
            }
        }
    }
}

const KEPT_MILLIS: u64 = 1_000;
const MOST_MET: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("a valid address")
    }

    fn at_wildcard() -> OwnAddresses {
        OwnAddresses::of(&[addr("0.0.0.0:4000")])
    }

    fn end(ip: &str) -> Option<LocalEnd> {
        let ip = ip.parse().expect("a valid address");
        Some(LocalEnd { ip, interface: 3 })
    }

    #[test]
    fn a_server_is_itself_by_its_address_and_port() {
        for (local, peer, is_self) in [
            ("127.0.0.1:4000", "127.0.0.1:4000", true),
            ("127.0.0.1:4000", "127.0.0.1:4001", false),
            ("127.0.0.1:4000", "127.0.0.2:4000", false),
            ("[::ffff:127.0.0.1]:4000", "127.0.0.1:4000", true),
            ("0.0.0.0:4000", "127.0.0.2:4000", true),
            ("[::ffff:0.0.0.0]:4000", "127.0.0.2:4000", true),
            ("[::]:4000", "[::1]:4000", true),
            ("[::]:4000", "127.0.0.2:4000", true),
            ("239.1.2.3:4000", "127.0.0.2:4000", true),
            ("127.255.255.255:4000", "127.0.0.1:4000", true),
            ("0.0.0.0:4000", "192.0.2.1:4000", false),
            ("0.0.0.0:4000", "127.0.0.2:4001", false),
        ] {
            let own = OwnAddresses::of(&[addr(local)]);
            assert_eq!(own.is_self(addr(peer), None), is_self, "{peer} at {local}");
        }
    }

    #[test]
    fn a_server_at_several_addresses_is_itself_at_each() {
        let own = OwnAddresses::of(&[addr("127.0.0.1:4000"), addr("0.0.0.0:4001")]);
        for (peer, is_self) in [
            ("127.0.0.1:4000", true),
            ("127.0.0.2:4000", false),
            ("127.0.0.2:4001", true),
            ("127.0.0.1:4002", false),
        ] {
            assert_eq!(own.is_self(addr(peer), None), is_self, "{peer}");
        }
    }

    #[test]
    fn what_comes_by_the_loopback_interface_with_its_port_is_the_server() {
        let own = OwnAddresses::of(&[addr("[::]:4000")]);
        let by = |interface| {
            let ip = "2001:db8:1::5".parse().expect("a valid address");
            Some(LocalEnd { ip, interface })
        };
        let routed_here = addr("[2001:db8:1::77]:4000");
        assert!(own.is_self(routed_here, by(1)));
        assert!(!own.is_self(routed_here, by(2)), "it came from elsewhere");
        let other_port = addr("[2001:db8:1::77]:4001");
        assert!(!own.is_self(other_port, by(1)), "a client on this host");
    }

    #[test]
    fn the_system_is_asked_once_in_a_while_and_only_when_it_matters() {
        let own = at_wildcard();
        let stranger = addr("192.0.2.1:4000");
        let soon = Duration::from_millis(KEPT_MILLIS - 1);
        let due = Duration::from_millis(KEPT_MILLIS);
        assert!(!own.has_at(stranger, None, soon, || panic!("too soon")));
        let mut asked = 0;
        for _ in 0..1_000 {
            own.has_at(stranger, None, due, || {
                asked += 1;
                HostAddresses::list()
            });
        }
        assert_eq!(asked, 1);
    }

    #[test]
    fn when_the_system_does_not_tell_the_last_list_stays() {
        let own = OwnAddresses::of(&[addr("[::]:4000")]);
        let due = Duration::from_millis(KEPT_MILLIS);
        let refuse = || Err(io::Error::from(io::ErrorKind::OutOfMemory));
        assert!(!own.has_at(addr("192.0.2.1:4000"), None, due, refuse));
        assert!(own.has_at(addr("[::1]:4000"), None, due, refuse));
    }

    #[test]
    fn an_address_that_is_asked_at_is_known_until_they_are_listed_again() {
        let own = at_wildcard();
        let soon = Duration::ZERO;
        let list = || panic!("too soon");
        let (one, two) = (addr("192.0.2.1:4000"), addr("192.0.2.2:4000"));
        assert!(!own.has_at(one, end("192.0.2.2"), soon, list));
        assert!(own.has_at(two, end("192.0.2.1"), soon, list), "its answer");
        assert!(own.has_at(one, None, soon, list));
        let due = Duration::from_millis(KEPT_MILLIS);
        assert!(!own.has_at(one, None, due, HostAddresses::list));
    }

    #[test]
    fn a_flood_on_many_addresses_takes_no_more_room() {
        let own = at_wildcard();
        for number in 0..1_000_u32 {
            let ip = std::net::Ipv4Addr::from_bits(0xc000_0200 + number);
            let to = Some(LocalEnd {
                ip: ip.into(),
                interface: 1,
            });
            own.has_at(addr("198.51.100.1:4000"), to, Duration::ZERO, || {
                panic!("too soon")
            });
        }
        let known = own.known.read().map(|known| known.met.len());
        assert_eq!(known.ok(), Some(MOST_MET));
    }
}
