//! Which addresses are this host's own, remembered for a while.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys;

/// Answers for a server bound to a wildcard whether a peer with the server's
/// own port number is the server itself. Asking the system costs some system
/// calls, and anyone can make a server ask: so answers are kept.
#[derive(Debug, Default)]
pub(crate) struct OwnAddresses {
    known: Mutex<Vec<Verdict>>,
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    ip: IpAddr,
    is_own: bool,
    asked: Instant,
}

impl OwnAddresses {
    /// Whether `ip` is an address of this host. When that cannot be found out
    /// it is taken to be one: answering oneself does more harm than not
    /// answering one peer for a while.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.contains_at(ip, Instant::now(), |ip| {
            sys::is_own_address(ip).unwrap_or(true)
        })
    }

    fn contains_at(&self, ip: IpAddr, now: Instant, ask: impl FnOnce(IpAddr) -> bool) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|verdict| now.saturating_duration_since(verdict.asked) < KEPT_FOR);
        if let Some(verdict) = known.iter().find(|verdict| verdict.ip == ip) {
            return verdict.is_own;
        }
        let is_own = ask(ip);
        if known.len() == MOST_KEPT {
            known.remove(0);
        }
        known.push(Verdict {
            ip,
            is_own,
            asked: now,
        });
        is_own
    }
}

const KEPT_FOR: Duration = Duration::from_secs(10);
const MOST_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_system_is_asked_once_in_a_while() {
        let own = OwnAddresses::default();
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let start = Instant::now();
        assert!(own.contains_at(ip, start, |_| true));
        assert!(own.contains_at(ip, start, |_| panic!("known")));
        let later = start + KEPT_FOR;
        assert!(!own.contains_at(ip, later, |_| false), "asked again");
    }

    #[test]
    fn no_flood_of_addresses_takes_more_room() {
        let own = OwnAddresses::default();
        let now = Instant::now();
        for number in 0..1_000_u32 {
            own.contains_at(IpAddr::V4(Ipv4Addr::from(number)), now, |_| false);
        }
        assert_eq!(
            own.known.lock().map(|known| known.len()).ok(),
            Some(MOST_KEPT)
        );
    }

    #[test]
    fn loopback_is_own_and_a_documentation_address_is_not() {
        let own = OwnAddresses::default();
        assert!(own.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!own.contains(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    }
}
