//! The groups that a server has joined, and how they follow their interfaces.
//!
//! A membership belongs to an interface by its number: it goes with the interface,
//! and one that is made again under the same name has another number. A server that
//! follows looks once a second whether the interface of each of its groups is
//! there, and whether it is still the same.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::multicast;
use crate::engine::SharedSocket;
use crate::error::{BindError, ChangeError};
use crate::logging::log_warn;
use crate::sys::{Interface, Membership};

/// What a server has joined.
#[derive(Debug)]
pub(crate) struct Memberships {
    sockets: Arc<SharedSocket>,
    /// Whether groups follow their interfaces.
    follows: bool,
    /// Those that do, and those on all interfaces.
    joined: Mutex<Vec<Joined>>,
}

#[derive(Debug)]
struct Joined {
    asked: Membership,
    /// The numbers of the interfaces where it is joined now.
    at: Vec<u32>,
}

impl Memberships {
    /// Joins these groups. If they `follow`, those whose interface is not there
    /// are joined when it comes.
    pub(crate) fn new(
        sockets: Arc<SharedSocket>,
        groups: &[Membership],
        follow: bool,
    ) -> Result<Self, BindError> {
        let memberships = Self {
            sockets,
            follows: follow,
            joined: Mutex::default(),
        };
        for group in groups {
            memberships.join(group).map_err(at_bind)?;
        }
        Ok(memberships)
    }

    /// Joins a group, now or when its interface comes.
    pub(super) fn join(&self, asked: &Membership) -> Result<(), ChangeError> {
        if !self.follows && asked.interface != Interface::All {
            return multicast::join(&self.sockets, asked);
        }
        let mut joined = self.joined();
        if joined.iter().any(|one| one.asked == *asked) {
            return Err(multicast::joined_before(asked).into());
        }
        multicast::check(asked)?;
        let (at, refused) = self.join_at(asked, &asked.interface.numbers());
        let (is_nowhere, waits) = (at.is_empty(), refused.is_empty());
        if is_nowhere && !(self.follows && waits) {
            let none = || multicast::no_interface(asked).into();
            return Err(refused.into_iter().next().unwrap_or_else(none));
        }
        joined.push(Joined {
            asked: asked.clone(),
            at,
        });
        // The logger may take its time.
        drop(joined);
        let addr = self.sockets.local_addr();
        if is_nowhere {
            log_warn!(
                "{addr}: waits for {} to join {}",
                asked.interface,
                asked.group
            );
        }
        for error in refused {
            log_warn!("{addr}: {error}");
        }
        Ok(())
    }

    /// Joins a group on each of these interfaces: where that went well, and what
    /// the others were refused with.
    fn join_at(&self, asked: &Membership, numbers: &[u32]) -> (Vec<u32>, Vec<ChangeError>) {
        let mut refused = Vec::new();
        let join = |number: &u32| {
            let joined = multicast::join(&self.sockets, &asked.at(*number));
            joined.map_err(|error| refused.push(error)).is_ok()
        };
        let at = numbers.iter().copied().filter(join).collect();
        (at, refused)
    }

    /// Leaves a group that was joined so.
    pub(super) fn leave(&self, asked: &Membership) -> Result<(), ChangeError> {
        let mut joined = self.joined();
        let Some(place) = joined.iter().position(|one| one.asked == *asked) else {
            return multicast::leave(&self.sockets, asked);
        };
        let mut left = Ok(());
        for number in joined.remove(place).at {
            left = left.and(multicast::leave_gone(&self.sockets, &asked.at(number)));
        }
        left
    }

    /// Follows interfaces on a thread of its own as long as the result lives.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Following> {
        if !self.follows {
            return None;
        }
        let memberships = Arc::clone(self);
        let (stop, stopped) = bounded::<()>(0);
        let thread = thread::Builder::new().name("socketserver-groups".to_owned());
        let run = move || {
            // An error says that it is to stop.
            while stopped
                .recv_timeout(LOOK_EVERY)
                .is_err_and(|error| error.is_timeout())
            {
                memberships.look();
            }
        };
        match thread.spawn(run) {
            Ok(_detached) => Some(Following { _stop: stop }),
            Err(error) => {
                let addr = self.sockets.local_addr();
                log_warn!("{addr}: no group follows its interface: no thread for it: {error}");
                None
            }
        }
    }

    /// Leaves groups where their interfaces are gone, and joins where these are now.
    fn look(&self) {
        let mut joined = self.joined();
        let mut news = Vec::new();
        for Joined { asked, at } in joined.iter_mut() {
            let asked = &*asked;
            let Membership {
                group, interface, ..
            } = asked;
            let numbers = interface.numbers();
            let (there, gone): (Vec<_>, Vec<_>) = at
                .iter()
                .copied()
                .partition(|number| numbers.contains(number));
            for number in &gone {
                // The kernel keeps a place for it, of which it has few.
                let _ = multicast::leave_gone(&self.sockets, &asked.at(*number));
                news.push(format!("{interface} is gone, and {group} with it"));
            }
            let is_new = |number: &u32| !there.contains(number);
            let new: Vec<_> = numbers.into_iter().filter(is_new).collect();
            *at = there;
            // If that fails it is tried again at the next look: the interface's
            // addresses may be still to come.
            let (now, _) = self.join_at(asked, &new);
            news.extend(now.iter().map(|_| format!("joined {group} on {interface}")));
            at.extend(now);
        }
        // The logger may take its time.
        drop(joined);
        for line in news {
            log_warn!("{}: {line}", self.sockets.local_addr());
        }
    }

    fn joined(&self) -> MutexGuard<'_, Vec<Joined>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that looks ends once this is dropped. Nobody waits for it: it may be
/// in the logger.
#[derive(Debug)]
pub(crate) struct Following {
    _stop: Sender<()>,
}

/// How long an interface may be back before its groups are.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A group, whoever sends to it.
pub(super) fn whole(group: IpAddr, interface: Interface) -> Membership {
    Membership {
        group,
        source: None,
        interface,
    }
}

/// What one source sends to a group.
pub(super) fn from(group: IpAddr, source: IpAddr, interface: Interface) -> Membership {
    Membership {
        group,
        source: Some(source),
        interface,
    }
}

/// What a group that was to be joined at `bind` failed with.
fn at_bind(error: ChangeError) -> BindError {
    match error {
        ChangeError::Config(error) => error.into(),
        ChangeError::Membership(error) => error.into(),
        error => unreachable!("joining at bind: {error}"),
    }
}
