//! Every short sequence of what may happen to a small table, and many long ones.

use std::collections::HashMap;

use super::*;

type Session = u32;

/// What has become of a session.
#[derive(Debug, Clone, Copy)]
struct Life {
    /// Ticks before it, and those that it has run or was told that it missed.
    ticks: u64,
    addr: u8,
    ends: u32,
}

/// Who has a session in hand.
#[derive(Debug, Clone, Copy)]
struct Held {
    id: Id,
    session: Session,
    turn: Turn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Datagram,
    Tick,
    End,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Datagram(u8),
    /// One that has found the session busy looks again.
    Wake(u8),
    /// Who has it is done.
    Done(usize),
    Panic(usize),
    End(u8),
    Tick,
    Due,
    Pass,
    Close,
}

#[derive(Debug, Clone)]
struct World {
    table: Table<Id, Session>,
    limits: Limits,
    held: Vec<Held>,
    waiting: HashMap<u8, Id>,
    lives: Vec<Life>,
    ticks: u64,
    now: Instant,
    start: Instant,
    is_closed: bool,
}

const ADDRS: u8 = 3;
const IDLE: Duration = Duration::from_secs(2);

fn addr(number: u8) -> SocketAddr {
    ([127, 0, 0, 1], 1_000 + u16::from(number)).into()
}

impl World {
    fn new(most: usize, when_full: WhenFull) -> Self {
        let limits = Limits {
            most,
            when_full,
            idle_after: IDLE,
        };
        let start = Instant::now();
        Self {
            table: Table::new(limits),
            limits,
            held: Vec::new(),
            waiting: HashMap::new(),
            lives: Vec::new(),
            ticks: 0,
            now: start,
            start,
            is_closed: false,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Tick, Step::Due, Step::Pass, Step::Close];
        for number in 0..ADDRS {
            steps.push(Step::End(number));
            steps.push(match self.waiting.contains_key(&number) {
                true => Step::Wake(number),
                false => Step::Datagram(number),
            });
        }
        for index in 0..self.held.len() {
            steps.push(Step::Done(index));
        }
        if !self.held.is_empty() {
            steps.push(Step::Panic(0));
        }
        steps
    }

    fn make(&mut self, step: Step) {
        match step {
            Step::Datagram(number) => self.datagram(number),
            Step::Wake(number) => {
                let id = self.waiting.remove(&number).expect("it waits");
                self.table.waits(id, false);
                self.datagram(number);
            }
            Step::Done(index) => self.done(index),
            Step::Panic(index) => {
                let held = self.held.swap_remove(index);
                self.gone(held);
            }
            Step::End(number) => {
                let known = self.table.get(addr(number));
                let Some(id) = known else {
                    return;
                };
                match self.table.end(id) {
                    Ending::Now(peer, session) => {
                        assert_eq!(peer, id, "it is known as itself");
                        self.hold(id, session, Turn::End);
                    }
                    Ending::Later => assert!(self.is_held(id), "by whoever has it"),
                    Ending::None => {}
                }
            }
            Step::Tick => {
                self.ticks += 1;
                self.table.tick(1);
            }
            Step::Due => {
                self.due();
            }
            Step::Pass => self.now += Duration::from_secs(1),
            Step::Close => {
                self.table.close();
                self.is_closed = true;
            }
        }
    }

    fn datagram(&mut self, number: u8) {
        let begun = self.table.begin(addr(number), self.now, true, |id| id);
        match begun {
            Begin::Known(id, peer, session) => {
                assert_eq!(peer, id, "it is known as itself");
                assert_eq!(self.life(session).addr, number, "the peer's own");
                self.hold(id, session, Turn::Datagram);
            }
            Begin::Busy(id) => {
                assert!(self.is_held(id), "somebody has it");
                self.table.waits(id, true);
                self.waiting.insert(number, id);
            }
            Begin::New { id, evicted, .. } => {
                let has_one = self
                    .lives
                    .iter()
                    .any(|life| life.addr == number && life.ends == 0);
                assert!(!has_one, "one for each peer");
                if let Some((id, _, session)) = evicted {
                    assert_eq!(self.limits.when_full, WhenFull::EvictOldest);
                    self.assert_nobody_waits_for(session);
                    self.hold(id, session, Turn::End);
                }
                let session = self.lives.len() as Session;
                self.lives.push(Life {
                    ticks: self.ticks,
                    addr: number,
                    ends: 0,
                });
                self.hold(id, session, Turn::Datagram);
            }
            Begin::Stranger => unreachable!("all are admitted"),
            Begin::Full => assert_eq!(self.table.len(), self.limits.most, "it is full"),
            Begin::Closed => assert!(self.is_closed),
        }
    }

    fn done(&mut self, index: usize) {
        let held = self.held.swap_remove(index);
        let Held { id, session, turn } = held;
        if turn == Turn::End {
            return self.gone(held);
        }
        match self.table.give_back(id, session, turn == Turn::Tick) {
            Next::Rest if turn == Turn::Datagram => {
                assert_eq!(self.life(session).ticks, self.ticks, "no tick is left over");
            }
            Next::Rest => {}
            Next::Tick(session, missed) => {
                assert_eq!(turn, Turn::Datagram, "no two ticks without a rest");
                self.tick(id, session, missed);
            }
            Next::End(session, _) => self.hold(id, session, Turn::End),
        }
    }

    /// Takes out what is due next; whether there may be more.
    fn due(&mut self) -> bool {
        match self.table.due(self.now) {
            Due::Tick(id, _, session, missed) => self.tick(id, session, missed),
            Due::End(id, _, session, reason) => {
                assert_eq!(reason == EndReason::Shutdown, self.is_closed);
                if !self.is_closed {
                    self.assert_nobody_waits_for(session);
                }
                self.hold(id, session, Turn::End);
            }
            Due::LookAgain => {}
            Due::Nothing => return false,
        }
        true
    }

    fn tick(&mut self, id: Id, session: Session, missed: u64) {
        self.lives[session as usize].ticks += 1 + missed;
        assert_eq!(
            self.life(session).ticks,
            self.ticks,
            "all ticks are made up for"
        );
        self.hold(id, session, Turn::Tick);
    }

    fn gone(&mut self, held: Held) {
        self.lives[held.session as usize].ends += 1;
        self.table.gone(held.id);
    }

    fn hold(&mut self, id: Id, session: Session, turn: Turn) {
        let is_held = self.held.iter().any(|held| held.session == session);
        assert!(!is_held, "two have session {session}");
        self.held.push(Held { id, session, turn });
    }

    fn is_held(&self, id: Id) -> bool {
        self.held.iter().any(|held| held.id == id)
    }

    /// A datagram that has come is before its session's end.
    fn assert_nobody_waits_for(&self, session: Session) {
        let addr = self.life(session).addr;
        assert!(!self.waiting.contains_key(&addr), "a datagram waits for it");
    }

    fn life(&self, session: Session) -> Life {
        self.lives[session as usize]
    }

    /// What holds after every step.
    fn check(&self) {
        let table = &self.table;
        assert!(table.len() <= self.limits.most, "bounded");
        let (mut next, mut before, mut heard) = (table.oldest, None, self.start);
        let mut linked = 0;
        while let Some(place) = next {
            let node = table.places[place].node.as_ref().expect("linked");
            assert_eq!(node.older, before, "linked both ways");
            assert!(node.heard >= heard, "in the order in which they were heard");
            assert!(!matches!(node.state, State::Ending), "among the living");
            assert_eq!(table.by_addr[&node.addr], place, "found by its address");
            (before, heard, next, linked) = (next, node.heard, node.newer, linked + 1);
        }
        assert_eq!(table.newest, before, "linked to the end");
        assert_eq!(linked, table.len(), "as many as are counted");
        let nodes = table.places.iter().filter_map(|place| place.node.as_ref());
        let resting = nodes
            .clone()
            .filter(|node| matches!(node.state, State::Resting(_)));
        let alive = self.lives.iter().filter(|life| life.ends == 0).count();
        assert_eq!(resting.count() + self.held.len(), alive, "none is lost");
        assert_eq!(nodes.count(), alive, "no place is kept for who is gone");
    }

    /// The server ends: so does each session, once.
    fn wind_up(mut self) {
        self.make(Step::Close);
        while let Some(number) = self.waiting.keys().next().copied() {
            self.make(Step::Wake(number));
        }
        while self.due() || !self.held.is_empty() {
            if !self.held.is_empty() {
                self.done(0);
            }
            self.check();
        }
        assert!(self.lives.iter().all(|life| life.ends == 1), "{self:?}");
        assert_eq!(self.table.len(), 0);
    }
}

fn worlds() -> impl Iterator<Item = World> {
    let policies = [WhenFull::Refuse, WhenFull::EvictOldest];
    policies
        .into_iter()
        .flat_map(|policy| [1, 2].map(|most| World::new(most, policy)))
}

#[test]
fn whatever_happens_in_a_few_steps_each_session_is_in_one_hand_and_ends_once() {
    fn search(world: &World, depth: usize) {
        world.check();
        world.clone().wind_up();
        if depth == 0 {
            return;
        }
        for step in world.steps() {
            let mut next = world.clone();
            next.make(step);
            search(&next, depth - 1);
        }
    }
    for world in worlds() {
        search(&world, 5);
    }
}

#[test]
fn whatever_happens_in_many_steps_each_session_is_in_one_hand_and_ends_once() {
    let mut seed = 1_u64;
    for mut world in (0..200).flat_map(|_| worlds()) {
        for _ in 0..60 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let steps = world.steps();
            let step = steps[(seed >> 33) as usize % steps.len()];
            // Few long walks would come far with a close in one of ten steps.
            if !matches!(step, Step::Close) {
                world.make(step);
                world.check();
            }
        }
        world.wind_up();
    }
}

#[test]
fn the_oldest_that_rests_makes_room_and_who_is_busy_does_not() {
    let mut world = World::new(2, WhenFull::EvictOldest);
    world.datagram(0);
    world.datagram(1);
    let held = |world: &World| {
        world
            .held
            .iter()
            .map(|held| held.session)
            .collect::<Vec<_>>()
    };
    world.datagram(2);
    assert_eq!(held(&world), [0, 1], "nobody rests: refused");
    world.done(1);
    world.datagram(2);
    assert_eq!(held(&world), [0, 1, 2], "session 1 makes room");
    assert_eq!(world.held[1].turn, Turn::End);
    world.check();
}

#[test]
fn who_was_heard_in_time_is_not_idle() {
    let mut world = World::new(2, WhenFull::Refuse);
    for number in [0, 1] {
        world.datagram(number);
        world.done(0);
    }
    world.make(Step::Pass);
    world.datagram(0);
    world.done(0);
    assert_eq!(world.table.next_idle(), Some(world.start + IDLE));
    world.make(Step::Pass);
    assert!(world.due(), "one is idle");
    assert_eq!((world.held.len(), world.held[0].session), (1, 1));
    assert!(!world.due(), "the other is not");
    assert_eq!(world.table.next_idle(), Some(world.now + IDLE / 2));
}

/// However long ticks take, a datagram that waits is next; and however many datagrams
/// come, so is a tick.
#[test]
fn ticks_and_datagrams_take_turns() {
    let mut world = World::new(1, WhenFull::Refuse);
    world.datagram(0);
    world.done(0);
    world.make(Step::Tick);
    world.due();
    world.make(Step::Tick);
    world.datagram(0);
    assert_eq!(world.waiting.len(), 1, "the tick has it");
    world.done(0);
    assert!(!world.due(), "the next tick lets the datagram pass");
    world.make(Step::Wake(0));
    assert_eq!(world.held[0].turn, Turn::Datagram);
    world.make(Step::Tick);
    world.done(0);
    assert_eq!(world.held[0].turn, Turn::Tick, "two ticks, run as one");
    world.done(0);
    world.check();
}

/// A round that takes longer than a tick goes on where it was.
#[test]
fn slow_rounds_come_to_everybody() {
    let mut world = World::new(3, WhenFull::Refuse);
    for number in 0..3 {
        world.datagram(number);
        world.done(0);
    }
    let mut ran = Vec::new();
    for _ in 0..6 {
        world.make(Step::Tick);
        world.due();
        ran.push(world.held[0].session);
        world.done(0);
    }
    assert_eq!(ran, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn peers_are_told_in_parts_and_none_twice() {
    let mut world = World::new(LOOKS * 2 + 1, WhenFull::Refuse);
    for number in 0..=u8::MAX {
        world.datagram(number);
    }
    let (mut from, mut peers) = (Some(0), Vec::new());
    while let Some(place) = from {
        from = world.table.peers_from(place, &mut peers);
    }
    assert_eq!(peers.len(), LOOKS * 2 + 1);
    peers.dedup();
    assert_eq!(peers.len(), world.table.len());
}
