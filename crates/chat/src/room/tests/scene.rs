//! A room without sockets and secrets.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::proof::{Proof, Token};
use crate::room::{Limits, Room};
use crate::wire::Notice;

/// A room, its clock, and whose address is validated.
pub(super) struct Scene {
    pub(super) room: Room,
    start: Instant,
    pub(super) now: Instant,
    pub(super) validated: RefCell<HashSet<SocketAddr>>,
}

/// What the framework knows of a sender, without its secrets.
struct Known<'a> {
    validated: &'a RefCell<HashSet<SocketAddr>>,
    addr: SocketAddr,
    half_minute: u64,
}

impl Known<'_> {
    fn token_of(&self, half_minute: u64) -> Token {
        let port = u64::from(self.addr.port());
        (u64::MAX - (half_minute << 16 | port)).to_be_bytes()
    }
}

impl Proof for Known<'_> {
    fn token(&self) -> Token {
        self.token_of(self.half_minute)
    }

    fn validate(&self, token: Token) -> bool {
        let before = self.half_minute.checked_sub(1);
        let is_good =
            token == self.token() || before.map(|then| self.token_of(then)) == Some(token);
        if is_good {
            self.validated.borrow_mut().insert(self.addr);
        }
        is_good
    }

    fn is_validated(&self) -> bool {
        self.validated.borrow().contains(&self.addr)
    }
}

impl Scene {
    pub(super) fn new() -> Self {
        let limits = Limits {
            members: 4,
            guests: 3,
            member_expiry: Duration::from_secs(60),
            guest_expiry: Duration::from_secs(600),
            ..Limits::default()
        };
        Self::of(limits)
    }

    pub(super) fn of(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            room: Room::new(limits),
            start: now,
            now,
            validated: RefCell::default(),
        }
    }

    /// A room in which each of `names` has joined, from the ports 1, 2, ….
    #[track_caller]
    pub(super) fn with(names: &[&str]) -> Self {
        let mut scene = Self::new();
        for (name, port) in names.iter().zip(1..) {
            let out = scene.join(addr(port), name);
            assert!(
                out.sends.iter().any(|(to, line)| {
                    *to == addr(port) && matches!(Notice::parse(line), Some(Notice::Welcome(_)))
                }),
                "{name} joins: {out:?}"
            );
        }
        scene
    }

    pub(super) fn send(&mut self, port: u16, line: &str) -> Outcome {
        self.hear(addr(port), line.as_bytes())
    }

    pub(super) fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let known = Known {
            validated: &self.validated,
            addr: from,
            half_minute: (self.now - self.start).as_secs() / 30,
        };
        self.room.on_line(self.now, from, bytes, &known)
    }

    /// Joins as a client does, and gives what the proof brought.
    #[track_caller]
    pub(super) fn join(&mut self, from: SocketAddr, name: &str) -> Outcome {
        let out = self.hear(from, format!("/join {name}").as_bytes());
        let [(to, line)] = &out.sends[..] else {
            panic!("one answer to a join: {out:?}")
        };
        assert_eq!(*to, from);
        let Some(Notice::Ticket { name, token }) = Notice::parse(line) else {
            panic!("a ticket: {line:?}")
        };
        self.hear(from, format!("/join {name} {token}").as_bytes())
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Outcome {
        self.now += Duration::from_secs(seconds);
        self.room.expire(self.now)
    }
}

pub(super) fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
