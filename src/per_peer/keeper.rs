//! Keeps the sessions of a server: has each datagram handled by its peer's.
//!
//! One lock, around the table, which is held for as long as it takes to look there and
//! to link. Users' code runs without it, on whatever thread took the session out.

use std::fmt::{self, Debug, Formatter};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::peers::{Peer, Peers};
use super::table::{Begin, Ending, Id, Limits, Next, Table};
use super::{EndReason, Session};
use crate::contain::contain;
use crate::error::{ConfigError, SendError};
use crate::handler::{Declined, HandlerError, Keeping};
use crate::logging::{LogLimit, log_warn};
use crate::server::ServerHandle;
use crate::socket_handle::SocketHandle;
use crate::stats::Refusal;

/// Makes a session.
pub(super) type Make = Box<dyn Fn(&Peer) -> Box<dyn Session> + Send + Sync>;

/// Says whether a peer may have a session.
pub(super) type Admit = Box<dyn Fn(&[u8], SocketAddr, &SocketHandle) -> bool + Send + Sync>;

/// What was set before the server was bound.
pub(super) struct Options {
    pub(super) make: Make,
    pub(super) admit: Option<Admit>,
    pub(super) limits: Limits,
    pub(super) tick_every: Option<Duration>,
}

/// The sessions of one server.
pub(super) struct Keeper {
    pub(super) options: Options,
    peers: Peers,
    /// Known from the first session on.
    server: OnceLock<ServerHandle>,
    state: Mutex<State>,
    /// A session was given back, or is no more.
    released: Condvar,
    /// Something has changed for the clock, for who runs what is due, for who waits
    /// for the end of both.
    pub(super) clock_turn: Condvar,
    pub(super) runner_turn: Condvar,
    pub(super) ended: Condvar,
    full_lines: LogLimit,
    pub(super) stuck_lines: LogLimit,
}

pub(super) struct State {
    pub(super) table: Table<Peer, Box<dyn Session>>,
    /// Threads that wait for a session.
    waiting: usize,
    pub(super) threads: super::clock::Threads,
}

/// A session that was taken out.
struct Seat {
    id: Id,
    peer: Peer,
    session: Box<dyn Session>,
}

impl Keeper {
    pub(super) fn new(options: Options, peers: &Peers) -> Arc<Self> {
        let table = Table::new(options.limits);
        let keeper = Arc::new(Self {
            options,
            peers: peers.clone(),
            server: OnceLock::new(),
            state: Mutex::new(State {
                table,
                waiting: 0,
                threads: super::clock::Threads::default(),
            }),
            released: Condvar::new(),
            clock_turn: Condvar::new(),
            runner_turn: Condvar::new(),
            ended: Condvar::new(),
            full_lines: LogLimit::new(),
            stuck_lines: LogLimit::new(),
        });
        peers.are_of(&keeper);
        keeper
    }

    /// Has a datagram handled.
    ///
    /// # Panics
    /// As the session does, once that is dropped.
    pub(super) fn handle(
        self: &Arc<Self>,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        let Seat {
            id,
            peer,
            mut session,
        } = self.take(bytes, addr, socket)?;
        match contain(|| session.handle(bytes, &peer, socket)) {
            Ok(result) => {
                self.give_back(id, &peer, session, false);
                result
            }
            Err(message) => {
                self.lose(id, session);
                resume_unwind(Box::new(message))
            }
        }
    }

    pub(super) fn server(&self) -> Option<&ServerHandle> {
        self.server.get()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().table.len()
    }

    pub(super) fn get(&self, addr: SocketAddr) -> Option<Peer> {
        self.lock().table.get(addr)
    }

    pub(super) fn peers_from(&self, place: usize, peers: &mut Vec<Peer>) -> Option<usize> {
        self.lock().table.peers_from(place, peers)
    }

    /// Ends a session, now or when it is given back; whether nobody did before.
    pub(super) fn end_session(&self, id: Id) -> bool {
        let ending = self.lock().table.end(id);
        match ending {
            Ending::Now(peer, session) => {
                self.conclude(id, &peer, session, EndReason::Requested);
                true
            }
            Ending::Later => true,
            Ending::None => false,
        }
    }

    /// Takes out the peer's session, or makes it. Waits while somebody else has it.
    fn take(
        self: &Arc<Self>,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<Seat, HandlerError> {
        let mut is_admitted = self.options.admit.is_none();
        let mut state = self.lock();
        loop {
            let make = |id| {
                let server = self.server.get_or_init(|| socket.server());
                Peer::new(id, socket, server, &self.peers)
            };
            match state.table.begin(addr, Instant::now(), is_admitted, make) {
                Begin::Known(id, peer, session) => {
                    drop(state);
                    peer.follow(socket);
                    return Ok(Seat { id, peer, session });
                }
                Begin::Busy(id) => {
                    state.table.waits(id, true);
                    state.waiting += 1;
                    state = wait(&self.released, state);
                    state.waiting -= 1;
                    state.table.waits(id, false);
                }
                Begin::Stranger => {
                    drop(state);
                    let admit = self.options.admit.as_ref();
                    if !admit.is_none_or(|admit| admit(bytes, addr, socket)) {
                        return Err(Declined::because(Refusal::NotAdmitted));
                    }
                    is_admitted = true;
                    state = self.lock();
                }
                Begin::New { id, peer, evicted } => {
                    let started = self.start_clock(&mut state);
                    drop(state);
                    if let Some((id, peer, session)) = evicted {
                        self.conclude(id, &peer, session, EndReason::Evicted);
                    }
                    if let Err(error) = started {
                        self.forget(id);
                        return Err(error.into());
                    }
                    return self.make(id, peer);
                }
                Begin::Full => {
                    drop(state);
                    self.tell_of_no_room(addr, socket);
                    return Err(Declined::because(Refusal::PeersFull));
                }
                Begin::Closed => return Err(SendError::Closed.into()),
            }
        }
    }

    /// Makes the session of a peer whose place is taken.
    fn make(&self, id: Id, peer: Peer) -> Result<Seat, HandlerError> {
        match contain(|| (self.options.make)(&peer)) {
            Ok(session) => Ok(Seat { id, peer, session }),
            Err(message) => {
                self.forget(id);
                resume_unwind(Box::new(message))
            }
        }
    }

    /// Gives a session back, and does what is due before it rests.
    pub(super) fn give_back(
        &self,
        id: Id,
        peer: &Peer,
        mut session: Box<dyn Session>,
        mut has_ticked: bool,
    ) {
        loop {
            let mut state = self.lock();
            let next = state.table.give_back(id, session, has_ticked);
            if matches!(next, Next::Rest) && state.waiting > 0 {
                self.released.notify_all();
            }
            drop(state);
            match next {
                Next::Rest => return,
                Next::End(session, reason) => return self.conclude(id, peer, session, reason),
                Next::Tick(due, missed) => match self.tick(id, peer, due, missed) {
                    Some(back) => (session, has_ticked) = (back, true),
                    None => return,
                },
            }
        }
    }

    /// Runs a tick. A panic costs the session.
    pub(super) fn tick(
        &self,
        id: Id,
        peer: &Peer,
        mut session: Box<dyn Session>,
        missed: u64,
    ) -> Option<Box<dyn Session>> {
        if self.contain("a tick", || session.tick(peer, missed)) {
            return Some(session);
        }
        self.lose(id, session);
        None
    }

    /// Tells a session that it is over, and drops it.
    pub(super) fn conclude(
        &self,
        id: Id,
        peer: &Peer,
        mut session: Box<dyn Session>,
        reason: EndReason,
    ) {
        self.contain("the end of a session", || session.end(peer, reason));
        self.lose(id, session);
    }

    /// Drops a session. Only then its peer's next datagram makes a new one.
    fn lose(&self, id: Id, session: Box<dyn Session>) {
        self.contain("dropping a session", || drop(session));
        self.forget(id);
    }

    fn forget(&self, id: Id) {
        let mut state = self.lock();
        state.table.gone(id);
        if state.waiting > 0 {
            self.released.notify_all();
        }
    }

    /// Runs users' code; whether it returned.
    fn contain(&self, name: &str, code: impl FnOnce()) -> bool {
        let server = self.server.get();
        let server = server.expect("known before there is a session");
        server.contain(name, code)
    }

    fn tell_of_no_room(&self, peer: SocketAddr, socket: &SocketHandle) {
        if let Some(admitted) = self.full_lines.admit() {
            let (local, most) = (socket.local_addr(), self.options.limits.most);
            log_warn!("{local}: no session for {peer}: there are {most} (max_peers){admitted}");
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever waits for a session looks again.
    pub(super) fn release_all(&self) {
        self.released.notify_all();
    }
}

impl Keeping for Keeper {
    fn check(&self) -> Result<(), ConfigError> {
        let Options {
            limits, tick_every, ..
        } = &self.options;
        if limits.most == 0 {
            return Err(ConfigError::new("max_peers", "0 peers cannot be served"));
        }
        if limits.idle_after.is_zero() {
            let problem = "after no time at all every session is idle";
            return Err(ConfigError::new("idle_after", problem));
        }
        if tick_every.is_some_and(|every| every < SHORTEST_TICK) {
            let problem = "less than a millisecond between two ticks leaves no time for datagrams";
            return Err(ConfigError::new("tick_every", problem));
        }
        Ok(())
    }

    fn end(self: Arc<Self>) {
        self.end_all();
    }
}

impl Debug for Keeper {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

pub(super) fn wait<'a>(turn: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    turn.wait(state).unwrap_or_else(PoisonError::into_inner)
}

const SHORTEST_TICK: Duration = Duration::from_millis(1);
