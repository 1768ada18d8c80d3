//! An answer that is given after the handler has returned.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};

use super::{Address, SocketHandle};
use crate::engine::{DoorId, Outbox, Stage};
use crate::error::SendError;
use crate::stats::Fate;
use crate::sys::{Egress, LocalEnd};

type Failure = Box<dyn StdError + Send + Sync>;

/// Is told of datagrams whose answer failed after the handler had returned.
pub(crate) trait FailureSink<A>: Send + Sync {
    fn failed(&self, peer: &A, len: usize, error: Failure);
}

/// The answer to one datagram, owed by whoever owns this: made by
/// [`SocketHandle::defer`], on any thread, at any time.
///
/// Until it is answered, failed or dropped the datagram is *in flight*: a
/// shutdown waits for it, up to [`drain_timeout`](crate::Builder::drain_timeout),
/// and counts it as [`abandoned`](crate::Stats::abandoned) after that. It does not
/// keep a worker busy, nor a lane of [`order_per_peer`](crate::Builder::order_per_peer).
///
/// Answers that are ready together leave together: whoever finds nobody sending
/// sends, and takes along what others add meanwhile. An answer comes after all
/// that the handler has sent before. Among answers of several threads there is no
/// order.
///
/// # Examples
/// A thread answers; the same with `tokio::spawn` is in
/// [Handlers that await](crate::guide::awaiting).
/// ```
/// use socketserver::{DeferredAnswer, ThreadingUdpServer};
///
/// let (sender, questions) = std::sync::mpsc::channel::<(DeferredAnswer, Vec<u8>)>();
/// std::thread::spawn(move || {
///     for (answer, question) in questions {
///         if let Err(error) = answer.reply(&question.to_ascii_uppercase()) {
///             eprintln!("too late: {error}");
///         }
///     }
/// });
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |bytes, _, socket| {
///     sender.send((socket.defer()?, bytes.to_vec()))?;
///     Ok(())
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[must_use = "dropped, it counts the datagram as failed"]
#[derive(Debug)]
pub struct DeferredAnswer<A = SocketAddr> {
    /// Of the worker whose handler it is, which may still run.
    pub(super) outbox: Arc<Outbox>,
    worker: ThreadId,
    pub(super) door: DoorId,
    pub(super) stage: Arc<Stage>,
    pub(super) peer: A,
    local: Option<LocalEnd>,
    /// How the answer leaves.
    pub(super) egress: Egress,
    len: usize,
    sink: Weak<dyn FailureSink<A>>,
    is_ended: bool,
}

impl<A> std::fmt::Debug for dyn FailureSink<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FailureSink")
    }
}

/// What a handle knows of the answer that its handler deferred.
#[derive(Debug)]
pub(crate) struct Deferral {
    stage: Arc<Stage>,
    door: DoorId,
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> SocketHandle<A> {
    /// Defers the answer to the datagram at hand: it stays in flight until the
    /// handle that is returned is answered, failed or dropped.
    ///
    /// The handler goes on and returns as ever. If it returns an error or panics,
    /// that decides the datagram's fate, and the handle's sends return
    /// [`SendError::Settled`].
    ///
    /// # Errors
    /// [`SendError::Busy`] when as many answers are due as
    /// [`max_deferred`](crate::Builder::max_deferred) permits, 65,536 by default, or
    /// when there is no memory for them; [`SendError::Settled`] when the datagram has
    /// been deferred before.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     let (answer, question) = (socket.defer()?, bytes.to_vec());
    ///     std::thread::Builder::new().spawn(move || answer.reply(&question))?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn defer(&self) -> Result<DeferredAnswer<A>, SendError> {
        let mut deferral = self.deferral.borrow_mut();
        if deferral.is_some() {
            return Err(SendError::Settled);
        }
        let sockets = self.outbox.socket();
        let current = self.current.get();
        let door = current.meta.socket.into();
        let stage = Arc::new(sockets.answers().defer(door, sockets)?);
        *deferral = Some(Deferral {
            stage: Arc::clone(&stage),
            door,
        });
        Ok(DeferredAnswer {
            outbox: Arc::clone(&self.outbox),
            worker: thread::current().id(),
            door,
            stage,
            peer: current.peer,
            local: current.meta.local,
            egress: A::egress(self),
            len: self.len.get(),
            sink: Weak::clone(&self.sink),
            is_ended: false,
        })
    }

    /// The handler has returned, well or not: the fate to count for it.
    pub(crate) fn end(&self, fate: Fate) -> Fate {
        let Some(Deferral { stage, door }) = self.deferral.take() else {
            return fate;
        };
        let answers = self.outbox.socket().answers();
        if fate == Fate::Handled {
            return answers.release(door, &stage);
        }
        answers.revoke(door, &stage);
        fate
    }
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> DeferredAnswer<A> {
    /// The peer that [`reply`](Self::reply) sends to.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DeferredAnswer;
    /// fn name(answer: &DeferredAnswer) -> String {
    ///     answer.peer_addr().to_string()
    /// }
    /// ```
    pub fn peer_addr(&self) -> A {
        self.peer
    }

    /// The local address that the datagram was sent to, as
    /// [`SocketHandle::local_addr`] says it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DeferredAnswer;
    /// fn port(answer: &DeferredAnswer) -> u16 {
    ///     answer.local_addr().port()
    /// }
    /// ```
    pub fn local_addr(&self) -> A {
        A::local(self.outbox.socket(), self.door, self.local)
    }

    /// Answers: sends one datagram to the peer, from the address that it wrote to,
    /// and counts the datagram as [`handled`](crate::Stats::handled).
    ///
    /// It is sent by this thread, with what other threads answer meanwhile, or by
    /// one that is sending. Waits up to 50 ms for room, so it may be called in a
    /// task of an asynchronous runtime.
    ///
    /// # Errors
    /// What can be known at once: [`SendError::TooLong`], and [`SendError::Refused`] when
    /// there was no room in time, after which the datagram counts as
    /// [`failed`](crate::Stats::failed) and [`handle_error`](crate::Builder::handle_error) is
    /// told; [`SendError::Withheld`]; [`SendError::Closed`] after the shutdown's deadline; and
    /// [`SendError::Settled`]. What fails later is counted and logged as for
    /// [`SocketHandle::reply`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DeferredAnswer, SendError};
    /// fn done(answer: DeferredAnswer) -> Result<(), SendError> {
    ///     answer.reply(b"done")
    /// }
    /// ```
    pub fn reply(mut self, bytes: &[u8]) -> Result<(), SendError> {
        let sent = self.transmit(bytes, true);
        let failure = match &sent {
            Ok(()) | Err(SendError::Withheld { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        match failure {
            // Whatever is in the way has been returned already.
            None => drop(self.end(Fate::Handled)),
            Some(words) => self.fail_with(words.into()),
        }
        sent
    }

    /// Sends one datagram to the peer, as [`reply`](Self::reply) does, and more may
    /// follow: the datagram stays in flight.
    ///
    /// # Errors
    /// As `reply`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DeferredAnswer, SendError};
    /// fn count(answer: DeferredAnswer) -> Result<(), SendError> {
    ///     answer.send(b"one")?;
    ///     answer.reply(b"two")
    /// }
    /// ```
    pub fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.transmit(bytes, false)
    }

    /// Ends it without another datagram: it counts as
    /// [`handled`](crate::Stats::handled).
    ///
    /// # Errors
    /// [`SendError::Closed`] after the shutdown's deadline, [`SendError::Settled`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DeferredAnswer, SendError};
    /// fn nothing_to_say(answer: DeferredAnswer) -> Result<(), SendError> {
    ///     answer.finish()
    /// }
    /// ```
    pub fn finish(mut self) -> Result<(), SendError> {
        self.end(Fate::Handled)
    }

    /// There is no answer: the datagram counts as [`failed`](crate::Stats::failed),
    /// and the [`handle_error`](crate::Builder::handle_error) hook is called on this
    /// thread.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DeferredAnswer;
    /// fn give_up(answer: DeferredAnswer) {
    ///     answer.fail("the database is gone");
    /// }
    /// ```
    pub fn fail(mut self, error: impl Into<Failure>) {
        self.fail_with(error.into());
    }

    fn transmit(&self, bytes: &[u8], is_last: bool) -> Result<(), SendError> {
        A::answer(self, bytes, is_last)
    }

    /// Whether it is the handler itself that answers.
    pub(super) fn is_in_handler(&self) -> bool {
        self.stage.is_handling() && self.worker == thread::current().id()
    }
}

impl<A> DeferredAnswer<A> {
    fn end(&mut self, fate: Fate) -> Result<(), SendError> {
        self.is_ended = true;
        let answers = self.outbox.socket().answers();
        answers.end(self.door, &self.stage, fate)
    }

    fn fail_with(&mut self, error: Failure) {
        if self.end(Fate::Failed).is_ok() {
            if let Some(sink) = self.sink.upgrade() {
                sink.failed(&self.peer, self.len, error);
            }
        }
    }
}

impl<A> Drop for DeferredAnswer<A> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.fail_with("its deferred answer was dropped".into());
        }
    }
}
