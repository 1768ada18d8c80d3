//! Who is in the room.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::alike;
use crate::host::Host;
use crate::name::{Name, NameError};
use crate::outcome::Peer;

/// The members: at most so many, each with an address and a name of its own.
pub struct Members {
    /// Each under its address.
    by_addr: BTreeMap<SocketAddr, Member>,
    /// The address of each, under all [forms](alike::forms) of its name.
    by_form: HashMap<String, SocketAddr>,
    /// How many there may be.
    capacity: usize,
    /// How many of them from one host.
    per_host: usize,
}

/// Someone who has joined, from an address that has been validated.
#[derive(Clone, Debug)]
pub struct Member {
    /// How to write to them.
    pub peer: Peer,
    /// What they are called.
    pub name: Name,
    /// When they last wrote.
    last_heard: Instant,
}

impl Members {
    /// An empty room with `capacity` seats, of which a host may take `per_host`.
    pub fn new(capacity: usize, per_host: usize) -> Self {
        Self {
            by_addr: BTreeMap::new(),
            by_form: HashMap::new(),
            capacity,
            per_host,
        }
    }

    /// Notes a sign of life, and tells whose; `None` if the address is no
    /// member's.
    pub fn heard(&mut self, now: Instant, from: Peer) -> Option<Member> {
        let member = self.by_addr.get_mut(&from.addr)?;
        member.last_heard = now;
        member.peer = from;
        Some(member.clone())
    }

    /// Looks whether `name` may be used from `addr`: by a newcomer, or by the
    /// member who has that address.
    pub fn check(&self, name: &str, addr: SocketAddr) -> Result<Name, Refusal> {
        let name = Name::parse(name).map_err(Refusal::Name)?;
        if alike::is_reserved(name.as_str()) {
            return Err(Refusal::Reserved);
        }
        let is_others = |form| self.by_form.get(form).is_some_and(|&owner| owner != addr);
        if alike::forms(name.as_str()).iter().any(is_others) {
            return Err(Refusal::Taken);
        }
        if !self.by_addr.contains_key(&addr) {
            if self.by_addr.len() >= self.capacity {
                return Err(Refusal::Full);
            }
            let host = Host::of(addr);
            let seats = self.by_addr.keys();
            if seats.filter(|&&seat| Host::of(seat) == host).count() >= self.per_host {
                return Err(Refusal::HostFull);
            }
        }
        Ok(name)
    }

    /// Seats `peer` under a [checked](Self::check) name; who had a seat before
    /// keeps it and changes the name.
    pub fn seat(&mut self, now: Instant, peer: Peer, name: Name) {
        self.remove(peer.addr);
        for form in alike::forms(name.as_str()) {
            self.by_form.insert(form, peer.addr);
        }
        let member = Member {
            peer,
            name,
            last_heard: now,
        };
        self.by_addr.insert(peer.addr, member);
    }

    /// Takes the seat away from whoever has it.
    pub fn remove(&mut self, addr: SocketAddr) -> Option<Member> {
        let member = self.by_addr.remove(&addr)?;
        for form in alike::forms(member.name.as_str()) {
            self.by_form.remove(&form);
        }
        Some(member)
    }

    /// Takes the seats away from those who have not written for `age`.
    pub fn expire(&mut self, now: Instant, age: Duration) -> Vec<Member> {
        let silent: Vec<SocketAddr> = self
            .iter()
            .filter(|member| now.saturating_duration_since(member.last_heard) >= age)
            .map(|member| member.peer.addr)
            .collect();
        silent
            .into_iter()
            .filter_map(|addr| self.remove(addr))
            .collect()
    }

    /// Finds a member by name.
    pub fn find(&self, name: &str) -> Option<&Member> {
        let addr = alike::forms(name)
            .iter()
            .find_map(|form| self.by_form.get(form))?;
        self.by_addr.get(addr)
    }

    /// All of them, ordered by address.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_addr.values()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_addr.len()
    }
}

/// Why someone cannot have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none.
    Name(NameError),
    /// It is the operator's, or could be taken for a guest's.
    Reserved,
    /// Someone else has it, or one that looks like it.
    Taken,
    /// All seats are taken.
    Full,
    /// All seats that one host may take are taken.
    HostFull,
    /// The host has joined too often of late.
    TooManyJoins,
}

impl Refusal {
    /// In few words, for whoever cannot be sent many.
    pub fn short(self) -> &'static str {
        match self {
            Self::Name(NameError::Empty) => "no name",
            Self::Name(_) => "bad name",
            Self::Reserved => "name reserved",
            Self::Taken => "name taken",
            Self::Full => "room full",
            Self::HostFull => "host full",
            Self::TooManyJoins => "join later",
        }
    }

    /// Whether the host is at fault and not the name, so that another name does
    /// not help.
    pub fn is_of_host(self) -> bool {
        matches!(self, Self::HostFull | Self::TooManyJoins)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::HostFull => f.write_str("no seats left for your host"),
            Self::TooManyJoins => f.write_str("too many joins from your host; wait a minute"),
            _ => f.write_str(self.short()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            newline: false,
        }
    }

    /// A room of two seats with `bob` in one of them.
    fn members(now: Instant) -> Members {
        let mut members = Members::new(2, 2);
        let bob = members.check("Bob", peer(1).addr).expect("free");
        members.seat(now, peer(1), bob);
        members
    }

    #[test]
    fn names_that_look_like_a_members_are_taken() {
        let members = members(Instant::now());
        for name in ["bob", "BOB", "ｂｏｂ", "b\u{43e}b"] {
            assert_eq!(
                members.check(name, peer(2).addr),
                Err(Refusal::Taken),
                "{name}"
            );
            assert!(
                members.check(name, peer(1).addr).is_ok(),
                "one's own name is free"
            );
        }
    }

    #[test]
    fn names_of_the_house_are_reserved() {
        let members = members(Instant::now());
        for name in ["operator", "\u{43e}perator", "guest", "GUEST-7", "server"] {
            assert_eq!(
                members.check(name, peer(2).addr),
                Err(Refusal::Reserved),
                "{name}"
            );
        }
    }

    #[test]
    fn a_full_room_lets_nobody_in_but_those_inside_move() {
        let now = Instant::now();
        let mut members = members(now);
        let carol = members
            .check("carol", peer(2).addr)
            .expect("a seat is left");
        members.seat(now, peer(2), carol);
        assert_eq!(members.check("dave", peer(3).addr), Err(Refusal::Full));
        let dave = members
            .check("dave", peer(2).addr)
            .expect("a new name for carol");
        members.seat(now, peer(2), dave);
        assert!(members.find("carol").is_none());
        assert_eq!(
            members.find("DAVE").map(|member| member.peer),
            Some(peer(2))
        );
        assert_eq!(members.count(), 2);
    }

    #[test]
    fn the_silent_leave_and_their_names_are_free() {
        let age = Duration::from_secs(10);
        let now = Instant::now();
        let mut members = members(now);
        assert!(members.expire(now + age / 2, age).is_empty());
        assert!(members.heard(now + age / 2, peer(1)).is_some());
        assert!(members.expire(now + age, age).is_empty(), "heard since");
        let gone = members.expire(now + age * 2, age);
        assert_eq!(gone.len(), 1);
        assert!(members.check("bob", peer(2).addr).is_ok());
        assert!(members.heard(now, peer(1)).is_none());
    }
}
