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
    /// What follows its interface; `None` where nothing shall.
    followed: Option<Mutex<Vec<Followed>>>,
}

#[derive(Debug)]
struct Followed {
    asked: Membership,
    /// The number of the interface where it is joined now.
    joined_at: Option<u32>,
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
            followed: follow.then(Mutex::default),
        };
        for group in groups {
            memberships.join(group).map_err(at_bind)?;
        }
        Ok(memberships)
    }

    /// Joins a group, now or when its interface comes.
    pub(super) fn join(&self, asked: &Membership) -> Result<(), ChangeError> {
        let Some(mut followed) = self.followed() else {
            return multicast::join(&self.sockets, asked);
        };
        multicast::check(asked)?;
        let joined_at = asked.interface.number();
        if let Some(number) = joined_at {
            multicast::join(&self.sockets, &asked.at(number))?;
        }
        followed.push(Followed {
            asked: asked.clone(),
            joined_at,
        });
        // The logger may take its time.
        drop(followed);
        if joined_at.is_none() {
            let (addr, interface) = (self.sockets.local_addr(), &asked.interface);
            log_warn!("{addr}: waits for {interface} to join {}", asked.group);
        }
        Ok(())
    }

    /// Leaves a group that was joined so.
    pub(super) fn leave(&self, asked: &Membership) -> Result<(), ChangeError> {
        let Some(mut followed) = self.followed() else {
            return multicast::leave(&self.sockets, asked);
        };
        let Some(place) = followed.iter().position(|one| one.asked == *asked) else {
            return multicast::leave(&self.sockets, asked);
        };
        match followed.remove(place).joined_at {
            Some(number) => multicast::leave_gone(&self.sockets, &asked.at(number)),
            None => Ok(()),
        }
    }

    /// Follows interfaces on a thread of its own as long as the result lives.
    pub(crate) fn follow(self: &Arc<Self>) -> Option<Following> {
        self.followed.as_ref()?;
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
        let Some(mut followed) = self.followed() else {
            return;
        };
        let mut news = Vec::new();
        for one in followed.iter_mut() {
            let Membership {
                group, interface, ..
            } = &one.asked;
            let number = interface.number();
            if number == one.joined_at {
                continue;
            }
            if let Some(gone) = one.joined_at.take() {
                // The kernel keeps a place for it, of which it has few.
                let _ = multicast::leave_gone(&self.sockets, &one.asked.at(gone));
                news.push(format!("{interface} is gone, and {group} with it"));
            }
            let Some(number) = number else {
                continue;
            };
            // If that fails it is tried again at the next look: the interface's
            // addresses may be still to come.
            if multicast::join(&self.sockets, &one.asked.at(number)).is_ok() {
                one.joined_at = Some(number);
                news.push(format!("joined {group} on {interface}"));
            }
        }
        // The logger may take its time.
        drop(followed);
        for line in news {
            log_warn!("{}: {line}", self.sockets.local_addr());
        }
    }

    fn followed(&self) -> Option<MutexGuard<'_, Vec<Followed>>> {
        let followed = self.followed.as_ref()?;
        Some(followed.lock().unwrap_or_else(PoisonError::into_inner))
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
        ChangeError::StartTimers { .. }
        | ChangeError::TooManyTimers { .. }
        | ChangeError::Closed => unreachable!("joining at bind: {error}"),
    }
}
