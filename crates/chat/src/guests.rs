//! Who writes without having joined.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::outcome::Peer;

/// The guests who wrote last. Their addresses may be forged, so they are few,
/// and when the table is full a newcomer pushes one out: of the host that has the
/// most guests, counting the newcomer, the one silent longest. So a host pushes
/// out others' only while it has fewer than they.
pub struct Guests {
    /// Each under its address.
    by_addr: HashMap<SocketAddr, Guest>,
    /// How many there may be.
    capacity: usize,
    /// How many of them from one host.
    per_host: usize,
    /// How many there have been.
    count: u64,
}

/// Someone who wrote and may be answered.
#[derive(Clone, Debug)]
pub struct Guest {
    /// How to write to them.
    pub peer: Peer,
    /// What the operator calls them.
    pub label: String,
    /// When they last wrote.
    last_heard: Instant,
    /// Whether they have written since they were last answered.
    waiting: bool,
    /// Whether they have been told that they are guests.
    pub told: bool,
}

impl Guests {
    /// An empty table for at least one guest, and at least one from each host.
    pub fn new(capacity: usize, per_host: usize) -> Self {
        Self {
            by_addr: HashMap::new(),
            capacity: capacity.max(1),
            per_host: per_host.max(1),
            count: 0,
        }
    }

    /// Notes that someone wrote, and tells who, and whether for the first time.
    pub fn heard(&mut self, now: Instant, from: Peer) -> (&mut Guest, bool) {
        let is_new = !self.by_addr.contains_key(&from.addr);
        if is_new {
            self.make_room_for(Host::of(from.addr));
            self.count += 1;
        }
        let count = self.count;
        let guest = self.by_addr.entry(from.addr).or_insert_with(|| Guest {
            peer: from,
            label: format!("{LABEL}{count}"),
            last_heard: now,
            waiting: true,
            told: false,
        });
        guest.peer = from;
        guest.last_heard = now;
        guest.waiting = true;
        (guest, is_new)
    }

    /// Finds the guest of a label, who is then answered.
    pub fn answer(&mut self, label: &str) -> Option<Peer> {
        let guest = self
            .by_addr
            .values_mut()
            .find(|guest| guest.label.eq_ignore_ascii_case(label))?;
        guest.waiting = false;
        Some(guest.peer)
    }

    /// All who wait for an answer, in the order they came; they are then
    /// answered.
    pub fn answer_waiting(&mut self) -> Vec<Peer> {
        let mut waiting: Vec<&mut Guest> = self
            .by_addr
            .values_mut()
            .filter(|guest| guest.waiting)
            .collect();
        waiting.sort_by_key(|guest| guest.last_heard);
        waiting
            .into_iter()
            .map(|guest| {
                guest.waiting = false;
                guest.peer
            })
            .collect()
    }

    /// Forgets a guest, who has become a member.
    pub fn remove(&mut self, addr: SocketAddr) {
        self.by_addr.remove(&addr);
    }

    /// Forgets those who have not written for `age`.
    pub fn expire(&mut self, now: Instant, age: Duration) {
        self.by_addr
            .retain(|_, guest| now.saturating_duration_since(guest.last_heard) < age);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.by_addr.values()
    }

    /// Forgets a guest if there is no room for another of this host. The table is
    /// small: to look through it costs less than to keep it in order.
    fn make_room_for(&mut self, host: Host) {
        let mut count = HashMap::new();
        for &addr in self.by_addr.keys() {
            *count.entry(Host::of(addr)).or_insert(0) += 1;
        }
        let own = count.get(&host).copied().unwrap_or(0);
        let silent = if own >= self.per_host {
            self.silent_longest(|other| other == host)
        } else if self.by_addr.len() < self.capacity {
            None
        } else {
            // With the newcomer, its own host has one more.
            let most = count.values().copied().max().unwrap_or(0);
            self.silent_longest(|other| {
                if own == most && own > 0 {
                    other == host
                } else {
                    count[&other] == most
                }
            })
        };
        if let Some(addr) = silent {
            self.by_addr.remove(&addr);
        }
    }

    /// Of the guests of some hosts, the one silent longest.
    fn silent_longest(&self, is_meant: impl Fn(Host) -> bool) -> Option<SocketAddr> {
        self.by_addr
            .values()
            .filter(|guest| is_meant(Host::of(guest.peer.addr)))
            .min_by_key(|guest| guest.last_heard)
            .map(|guest| guest.peer.addr)
    }
}

/// Begins the label of every guest; a number follows.
const LABEL: &str = "guest-";

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            newline: false,
        }
    }

    #[test]
    fn a_guest_keeps_the_label() {
        let now = Instant::now();
        let mut guests = Guests::new(4, 4);
        let (guest, is_new) = guests.heard(now, peer(1));
        assert_eq!((guest.label.as_str(), is_new), ("guest-1", true));
        assert_eq!(guests.heard(now, peer(2)).0.label, "guest-2");
        let (guest, is_new) = guests.heard(now, peer(1));
        assert_eq!((guest.label.as_str(), is_new), ("guest-1", false));
    }

    #[test]
    fn one_message_waits_for_one_answer() {
        let now = Instant::now();
        let mut guests = Guests::new(4, 4);
        guests.heard(now, peer(1));
        guests.heard(now + Duration::from_secs(1), peer(2));
        assert_eq!(guests.answer("GUEST-1"), Some(peer(1)));
        assert_eq!(
            guests.answer_waiting(),
            [peer(2)],
            "the first is answered already"
        );
        assert_eq!(guests.answer_waiting(), []);
        guests.heard(now + Duration::from_secs(2), peer(1));
        assert_eq!(guests.answer_waiting(), [peer(1)]);
        assert_eq!(guests.answer("guest-3"), None);
    }

    #[test]
    fn the_guest_silent_longest_makes_room() {
        let now = Instant::now();
        let mut guests = Guests::new(2, 2);
        for port in 1..=1000 {
            guests.heard(now + Duration::from_millis(u64::from(port)), peer(port));
        }
        assert_eq!(guests.iter().count(), 2);
        assert_eq!(guests.answer_waiting(), [peer(999), peer(1000)]);
        guests.expire(now + Duration::from_secs(60), Duration::from_secs(59));
        assert_eq!(guests.iter().count(), 0);
    }
}
