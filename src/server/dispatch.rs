//! One datagram from the engine to its fate: admission, handler.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock, Weak};

use super::admission::{Admission, NotAdmitted};
use super::handle::Reach;
use super::hooks::{FailureCause, HandlerFailure, Hooks};
use super::kept;
use crate::contain::contain;
use crate::engine::{Engine, Executor, ExecutorFactory, Outbox, Progress, SharedSocket};
use crate::handler::{DatagramHandler, Declined, Factory, HandlerError};
use crate::logging::{LogLimit, log_error, log_warn};
use crate::socket_handle::{Address, FailureSink, InServer, SocketHandle};
use crate::stats::{Fate, Padded, SideCounts};
use crate::sys::Datagram;

/// How long a handler instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// As long as its worker.
    Worker,
    /// For one datagram.
    Datagram,
}

/// What all workers of a server dispatch by.
pub(crate) struct Dispatch<A> {
    pub(crate) factory: Factory<A>,
    pub(crate) lifetime: Lifetime,
    pub(crate) hooks: Arc<Hooks<A>>,
    pub(crate) admission: Admission<A>,
    pub(crate) counts: Arc<SideCounts>,
    pub(crate) uncommitted: LogLimit,
    pub(crate) failures: LogLimit,
}

/// The engine's view of [`Dispatch`].
pub(crate) struct Dispatchers<A> {
    pub(crate) dispatch: Arc<Dispatch<A>>,
    /// Has this, and lives at least as long as any worker.
    pub(crate) engine: Weak<Engine>,
    /// Set once the server is bound.
    pub(crate) reach: Arc<OnceLock<Reach>>,
}

impl<A: Address> ExecutorFactory for Dispatchers<A> {
    fn executor(
        &self,
        outbox: &Arc<Outbox>,
        progress: &Arc<Padded<Progress>>,
    ) -> Box<dyn Executor> {
        Box::new(self.dispatcher(outbox, progress))
    }

    fn at_end(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let kept = self.dispatch.factory.kept().map(Arc::clone)?;
        Some(Box::new(move || kept.end()))
    }

    /// A socket that is handed over has the buffer that was granted.
    fn leave(&self, sockets: &SharedSocket) {
        self.dispatch.admission.lift_queue_limit(sockets);
    }
}

impl<A: Address> Dispatchers<A> {
    pub(crate) fn dispatcher(
        &self,
        outbox: &Arc<Outbox>,
        progress: &Arc<Padded<Progress>>,
    ) -> Dispatcher<A> {
        let engine = self.engine.upgrade();
        let server = InServer {
            engine: engine.expect("whoever asks for a dispatcher holds the engine"),
            proofs: Arc::clone(self.dispatch.admission.guards.validated()),
            reach: Arc::clone(&self.reach) as _,
        };
        Dispatcher {
            handle: SocketHandle::new(
                Arc::clone(outbox),
                server,
                Arc::downgrade(&self.dispatch) as _,
            ),
            dispatch: Arc::clone(&self.dispatch),
            sockets: Arc::clone(outbox.socket()),
            progress: Arc::clone(progress),
            instance: None,
        }
    }
}

/// Dispatches one worker's datagrams to its handler instance.
pub(crate) struct Dispatcher<A> {
    dispatch: Arc<Dispatch<A>>,
    sockets: Arc<SharedSocket>,
    progress: Arc<Padded<Progress>>,
    handle: SocketHandle<A>,
    instance: Option<Box<dyn DatagramHandler<A>>>,
}

impl<A: Address> Executor for Dispatcher<A> {
    fn execute(&mut self, datagram: &Datagram<'_>) -> Fate {
        let Datagram { bytes, meta, .. } = *datagram;
        let peer = match self.dispatch.admission.admit(datagram, &self.sockets) {
            Ok(peer) => peer,
            Err(NotAdmitted::As(fate)) => return fate,
            Err(NotAdmitted::VerifyPanicked { peer, message }) => {
                self.report(FailureCause::Panic(message), peer, bytes.len());
                return Fate::Panicked;
            }
        };
        self.handle.begin(peer, meta, bytes.len());
        let fate = match contain(|| self.call(bytes, peer)) {
            Ok(Ok(())) => {
                self.commit(peer);
                Fate::Handled
            }
            Ok(Err(error)) => match error.downcast::<Declined>() {
                Ok(declined) => Fate::Refused(declined.0),
                Err(error) => {
                    self.report(FailureCause::Error(error), peer, bytes.len());
                    Fate::Failed
                }
            },
            Err(message) => {
                self.drop_instance();
                self.report(FailureCause::Panic(message), peer, bytes.len());
                Fate::Panicked
            }
        };
        self.handle.end(fate)
    }

    fn order_key(&self, datagram: &Datagram<'_>, hasher: &RandomState) -> Result<u64, String> {
        let peer = A::of(datagram);
        let (Some(order_by), Some(peer)) = (&self.dispatch.hooks.order_by, peer) else {
            return Ok(hasher.hash_one(peer));
        };
        contain(|| order_by(datagram.bytes, peer, hasher))
    }

    /// A panic in `order_by` costs the datagram, as one in `verify_request` does.
    fn give_up(&mut self, datagram: &Datagram<'_>, panic: String) -> Fate {
        if let Some(peer) = A::of(datagram) {
            self.report(FailureCause::Panic(panic), peer, datagram.bytes.len());
        }
        Fate::Panicked
    }

    fn finish(&mut self) {
        self.progress.set_ready(false);
        if let Some(instance) = self.instance.take() {
            kept::finish(instance, &self.dispatch.counts);
        }
    }
}

/// For `handle_request`, which keeps the instance from one call to the next.
impl<A: Address> Dispatcher<A> {
    /// Takes up the instance that this thread keeps for the server.
    pub(crate) fn take_up(&mut self, key: &kept::Key) {
        self.instance = key.take();
    }

    /// Leaves the instance to this thread, if it is worth keeping.
    pub(crate) fn put_aside(&mut self, key: &kept::Key) {
        if self.dispatch.factory.is_stateless() {
            self.finish();
        } else if let Some(instance) = self.instance.take() {
            key.keep(instance, &self.dispatch.counts);
        }
    }
}

impl<A: Address> Dispatcher<A> {
    /// Calls the handler, in Python's order. A panic leaves the instance, if
    /// there is one, in place.
    fn call(&mut self, bytes: &[u8], peer: A) -> Result<(), HandlerError> {
        if self.instance.is_none() {
            self.make_instance()?;
        }
        let instance = self.instance.as_mut();
        let instance = instance.expect("there is one, or it was just made");
        let result = instance.handle(bytes, peer, &self.handle);
        if self.dispatch.lifetime == Lifetime::Datagram {
            self.finish();
        }
        result
    }

    /// Makes the instance. One that lives for one datagram is a part of handling
    /// that; one that lives longer is worth waiting for.
    fn make_instance(&mut self) -> Result<(), HandlerError> {
        let Self {
            dispatch, instance, ..
        } = self;
        let mut make = || instance.insert(dispatch.factory.make()).setup();
        let made = match dispatch.lifetime {
            Lifetime::Worker => self.progress.prepare(make),
            Lifetime::Datagram => make(),
        };
        match made {
            Ok(()) => self
                .progress
                .set_ready(dispatch.lifetime == Lifetime::Worker),
            Err(_) => self.drop_instance(),
        }
        made
    }

    /// Sends what was written with the handle's writer.
    fn commit(&self, peer: A) {
        if let Err(error) = self.handle.commit() {
            if let Some(admitted) = self.dispatch.uncommitted.admit() {
                let addr = &self.dispatch.admission.name;
                log_warn!("{addr}: no reply to {peer}: {error}{admitted}");
            }
        }
    }

    /// Drops an instance whose `setup` failed or that panicked, without `finish`.
    fn drop_instance(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.progress.set_ready(false);
            let counts = &self.dispatch.counts;
            counts.contain("dropping a handler", || drop(instance));
        }
    }

    fn report(&self, cause: FailureCause, peer: A, len: usize) {
        self.dispatch.report(cause, peer, len);
    }
}

impl<A: Address> Dispatch<A> {
    fn report(&self, cause: FailureCause, peer: A, len: usize) {
        let failure = HandlerFailure::new(cause, peer, len);
        // Also the default runs users' code: the error's own `Display`.
        let told = || match &self.hooks.handle_error {
            Some(hook) => hook(&failure),
            None => {
                if let Some(admitted) = self.failures.admit() {
                    log_error!(self.counts.unlogged(), "{failure}{admitted}");
                }
            }
        };
        self.counts.contain("handle_error", told);
        self.counts
            .contain("dropping a handler's error", || drop(failure));
    }
}

impl<A: Address> FailureSink<A> for Dispatch<A> {
    fn failed(&self, peer: &A, len: usize, error: HandlerError) {
        self.report(FailureCause::Error(error), *peer, len);
    }
}
