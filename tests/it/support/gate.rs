//! Where handlers are held until the test lets them go.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use socketserver::SocketHandle;

use super::{DEADLINE, Handle};

/// Holds handlers until it is opened, for good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    is_open: bool,
    waiting: usize,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A handler that echoes, and waits here first with each datagram that is
    /// `word`.
    pub(crate) fn holding(&self, word: &'static [u8]) -> impl Handle + use<> {
        let gate = self.clone();
        move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
            if bytes == word {
                gate.pass();
            }
            Ok(socket.reply(bytes)?)
        }
    }

    /// A handler that waits here with every datagram, and does not reply.
    pub(crate) fn holding_all(&self) -> impl Handle + use<> {
        let gate = self.clone();
        move |_: &[u8], _: SocketAddr, _: &SocketHandle| {
            gate.pass();
            Ok(())
        }
    }

    /// Waits until the gate is open. Gives up after a while, so that a test
    /// that fails does not hang.
    pub(crate) fn pass(&self) {
        let mut inside = self.inside();
        inside.waiting += 1;
        self.0.changed.notify_all();
        let (mut inside, _) = self
            .0
            .changed
            .wait_timeout_while(inside, 3 * DEADLINE, |inside| !inside.is_open)
            .unwrap_or_else(PoisonError::into_inner);
        inside.waiting -= 1;
    }

    /// Lets everyone pass, from now on.
    pub(crate) fn open(&self) {
        self.inside().is_open = true;
        self.0.changed.notify_all();
    }

    /// Waits until `count` handlers are held.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let (inside, _) = self
            .0
            .changed
            .wait_timeout_while(self.inside(), DEADLINE, |inside| inside.waiting < count)
            .unwrap_or_else(PoisonError::into_inner);
        let waiting = inside.waiting;
        drop(inside);
        assert!(
            waiting >= count,
            "{count} handlers should be at the gate, {waiting} are"
        );
    }

    /// Handlers that are held.
    pub(crate) fn waiting(&self) -> usize {
        self.inside().waiting
    }

    /// Opens it at the end of the test, also when that fails. Made after the
    /// server, it opens before the server is joined.
    #[must_use = "dropping it opens the gate"]
    pub(crate) fn open_on_drop(&self) -> OpenOnDrop {
        OpenOnDrop(self.clone())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens its gate when dropped.
#[derive(Debug)]
pub(crate) struct OpenOnDrop(Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
