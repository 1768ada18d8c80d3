//! The parent at work: keeps children alive, buries who has ended, and drains.

use std::sync::Arc;
use std::time::Instant;

use super::child::{Equipment, Role};
use super::roster::{Roster, TRIES};
use super::rows::Leave;
use super::{ChildEnd, ChildExit, Children, Shared};
use crate::engine::Engine;
use crate::engine::service::Upkeep;
use crate::error::ServeError;
use crate::logging::log_warn;
use crate::sys::{Child, Death, Hark, Parent};

/// What the parent knows of the child in one place.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Term {
    /// What the row said when it began: datagrams received, and settled.
    received: u64,
    settled: u64,
    /// Why it was killed.
    killed: Option<ChildEnd>,
}

/// The parent at work.
pub(super) struct Family<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) children: &'a Children,
    pub(super) shared: &'a Shared,
    pub(super) parent: Parent,
    pub(super) upkeep: Option<&'a Upkeep>,
    pub(super) equipment: &'a mut Equipment,
    pub(super) has_service: bool,
    /// By place; the last one is the service child's.
    pub(super) places: Vec<Option<Child>>,
    pub(super) terms: Vec<Term>,
    pub(super) roster: Roster,
    pub(super) service: Roster,
    /// Of what the last child died that died of its start.
    pub(super) last_cause: String,
}

impl Family<'_> {
    /// Keeps children alive until somebody asks for the end.
    pub(super) fn serve(&mut self) -> Result<(), ServeError> {
        loop {
            let now = Instant::now();
            let received = |at: usize| self.shared.rows.row(at).received();
            let terms = &self.terms;
            self.roster
                .look(now, |at| received(at) > terms[at].received);
            self.service.look(now, |_| false);
            self.fill(now);
            if self.roster.is_hopeless() {
                let addr = self.engine.socket.local_addr();
                let cause = std::mem::take(&mut self.last_cause);
                return Err(ServeError::Children {
                    addr,
                    tries: TRIES,
                    cause,
                });
            }
            let timeouts = self.kill_late();
            let dues = [self.roster.due(), self.service.due(), timeouts];
            let due = dues.into_iter().flatten().min();
            if self.wait(due) == Hark::Stop || self.shared.rows.is_stopping() {
                return Ok(());
            }
        }
    }

    /// All children are asked to leave, and those that have not are killed at the
    /// deadline.
    pub(super) fn drain(&mut self) {
        self.shared.rows.stop();
        for child in self.places.iter().flatten() {
            child.ask_to_leave();
        }
        let deadline = self.engine.drain_deadline();
        while self.places.iter().any(Option::is_some) && Instant::now() < deadline {
            let late = self.kill_late();
            self.wait(Some(late.map_or(deadline, |late| late.min(deadline))));
        }
        for (child, term) in self.places.iter().zip(&mut self.terms) {
            if let Some(child) = child {
                term.killed = Some(ChildEnd::Abandoned);
                child.kill();
            }
        }
        // Who is in the middle of a call to a device may not hear even that.
        let grace = Instant::now() + LAST_GRACE;
        while self.places.iter().any(Option::is_some) && Instant::now() < grace {
            self.wait(Some(grace));
        }
    }

    fn fill(&mut self, now: Instant) {
        while let Some(at) = self.roster.to_fill(now) {
            if !self.start(at, now) {
                break;
            }
        }
        if self.has_service && self.service.to_fill(now).is_some() {
            self.start(self.children.most, now);
        }
        self.shared.rows.set_children(self.roster.filled());
    }

    /// Forks a child for a place; whether that went well.
    fn start(&mut self, at: usize, now: Instant) -> bool {
        let row = self.shared.rows.row(at);
        let before = row.read();
        let is_service = at == self.children.most;
        self.terms[at] = Term {
            received: before.received,
            settled: before.settled(),
            killed: None,
        };
        match self.parent.fork() {
            Ok(None) => {
                let role = match is_service {
                    true => Role::Service(self.upkeep),
                    false => Role::Worker(self.equipment),
                };
                self.engine.live(self.children, row, role)
            }
            Ok(Some(child)) => {
                self.places[at] = Some(child);
                let (roster, seat) = self.seat(at);
                roster.began(seat, now);
                true
            }
            Err(error) => {
                self.last_cause = format!("none can be started: {error}");
                let (roster, seat) = self.seat(at);
                roster.ended(seat, now, true);
                false
            }
        }
    }

    /// Waits until something happens, and buries who has ended.
    fn wait(&mut self, due: Option<Instant>) -> Hark {
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let mut ended = Vec::new();
        let waker = &self.shared.waker;
        let hark = self.parent.wait(waker, &self.places, left, &mut ended);
        for at in ended {
            let death = self.places[at].as_ref().and_then(Child::reap);
            if let (Some(death), Some(child)) = (death, &self.places[at]) {
                let pid = child.pid();
                self.places[at] = None;
                self.bury(at, pid, death);
            }
        }
        hark
    }

    /// A child has ended, and was reaped.
    fn bury(&mut self, at: usize, pid: u32, death: Death) {
        let row = self.shared.rows.row(at);
        let Term {
            received,
            settled,
            killed,
        } = self.terms[at];
        let end = match (killed, row.leave_said(), death) {
            (Some(killed), _, Death::Signalled(KILL)) => killed,
            (_, Some(Leave::Recycled), Death::Exited(0)) => ChildEnd::Recycled,
            (_, Some(Leave::Told), Death::Exited(0)) => ChildEnd::ShutDown,
            (_, _, Death::Exited(code)) => ChildEnd::Exited(code),
            (_, _, Death::Signalled(signal)) => ChildEnd::Signalled(signal),
            (_, _, Death::Unknown) => ChildEnd::Unknown,
        };
        let was_busy = row.busy_since().is_some();
        let served = row.read().settled() - settled;
        let stats = row.close(|stats| match end {
            ChildEnd::TimedOut => &mut stats.lost_with_child.timed_out,
            ChildEnd::Signalled(_) => &mut stats.lost_with_child.signalled,
            ChildEnd::Abandoned => &mut stats.abandoned,
            _ => &mut stats.lost_with_child.exited,
        });
        let is_service = at == self.children.most;
        let is_orderly = matches!(end, ChildEnd::Recycled | ChildEnd::ShutDown);
        if !is_orderly {
            self.last_cause = format!("the last one {end}");
            if let Some(admitted) = self.children.deaths.admit() {
                let addr = self.engine.socket.local_addr();
                let place = match (is_service, was_busy) {
                    (true, _) => "for service_actions and timers ",
                    (false, true) => "in its handler ",
                    (false, false) => "",
                };
                log_warn!("{addr}: child process {pid} {place}{end}{admitted}");
            }
        }
        let was_idle = !is_orderly && stats.received == received;
        let now = Instant::now();
        let (roster, seat) = self.seat(at);
        roster.ended(seat, now, was_idle);
        if is_service {
            // What was due in its time is not done again.
            self.engine.timers.skip_due(now);
        }
        self.shared.rows.set_children(self.roster.filled());
        if let Some(on_exit) = &self.children.on_exit {
            let exit = ChildExit {
                pid,
                end,
                served,
                is_service,
            };
            let counts = &self.children.counts;
            counts.contain("on_child_exit", || on_exit(&exit));
        }
    }

    /// Kills who has been in one handler for too long. Returns when to look again.
    fn kill_late(&mut self) -> Option<Instant> {
        let limit = self.children.timeout?;
        let now = self.engine.life.began.elapsed();
        // Who begins only now is late then.
        let mut next = limit;
        for at in 0..self.children.most {
            let Some(child) = &self.places[at] else {
                continue;
            };
            let since = self.shared.rows.row(at).busy_since();
            let Some(since) = since.filter(|_| self.terms[at].killed.is_none()) else {
                continue;
            };
            let left = (since + limit).saturating_sub(now);
            if left.is_zero() {
                self.terms[at].killed = Some(ChildEnd::TimedOut);
                child.kill();
            } else {
                next = next.min(left);
            }
        }
        Instant::now().checked_add(next)
    }

    /// Where the roster has the child of a place.
    fn seat(&mut self, at: usize) -> (&mut Roster, usize) {
        match at == self.children.most {
            true => (&mut self.service, 0),
            false => (&mut self.roster, at),
        }
    }
}

/// SIGKILL, everywhere.
const KILL: i32 = 9;
/// For who was killed.
const LAST_GRACE: std::time::Duration = std::time::Duration::from_secs(1);
