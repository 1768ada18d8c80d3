//! What is due once, after a while.

use std::sync::Arc;
use std::time::Duration;

use super::ServerHandle;
use crate::engine::TimerKey;
use crate::error::ChangeError;
use crate::socket_handle::Address;

/// A timer that was set with [`ServerHandle::after`], to cancel it.
///
/// Dropping it changes nothing: the timer stays set. All clones are of the same.
///
/// # Examples
/// ```
/// # use socketserver::ThreadingUdpServer;
/// # use std::time::Duration;
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?;
/// let expiry = server.handle().after(Duration::from_secs(60), |_| println!("idle"))?;
/// assert!(expiry.cancel());
/// assert!(!expiry.cancel(), "it was already");
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Timer {
    key: TimerKey,
}

impl Timer {
    /// Cancels it; whether it was not due yet, and now never will be. What its
    /// closure captured is dropped here. `false` if it has begun, is over, or was
    /// cancelled before, and once the server is closed.
    ///
    /// Never waits for a closure that runs.
    ///
    /// # Examples
    /// As for [`Timer`].
    pub fn cancel(&self) -> bool {
        self.key.cancel()
    }
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> ServerHandle<A> {
    /// Has `f` called once, after `delay`, with the server's handle: to send a
    /// request again, to expire what is idle, to tick.
    ///
    /// All timers of a server run on one thread of their own, which is started with
    /// the first, in the order in which they are due, and those of the same moment in
    /// the order in which they were set. No handler and no hook delays them, however
    /// long it takes; a timer that takes long delays those behind it. A panic is
    /// contained, counted in [`Stats::hook_panics`](crate::Stats::hook_panics) and
    /// logged.
    ///
    /// May be called from `bind` on, from any thread, also from a handler, a hook or
    /// a timer. Timers go on while the server drains; what is not due when that is
    /// over is dropped, and what runs then is waited for, at most until the end of
    /// `drain_timeout`. Once the server is closed, the thread is gone. A server that
    /// is dropped without having served waits as long for a timer that runs. A process
    /// that is forked off a bound server takes its timers over with the first that it
    /// sets itself.
    ///
    /// # Errors
    /// [`ChangeError::TooManyTimers`] while 65,536 are set, [`ChangeError::StartTimers`] when the
    /// system has no thread for the first one, [`ChangeError::Closed`] once the server is
    /// closed. Then `f` is dropped.
    ///
    /// # Examples
    /// Asks again until somebody answers, at most five times:
    ///
    /// ```
    /// use socketserver::{Error, ServerHandle, ThreadingUdpServer};
    /// use std::net::SocketAddr;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::time::Duration;
    ///
    /// fn ask(
    ///     server: &ServerHandle,
    ///     peer: SocketAddr,
    ///     answered: Arc<AtomicBool>,
    ///     tries_left: u32,
    /// ) -> Result<(), Error> {
    ///     if tries_left == 0 || answered.load(Ordering::Relaxed) {
    ///         return Ok(());
    ///     }
    ///     server.send_to(b"are you there?", peer)?;
    ///     server.after(Duration::from_millis(500), move |server| {
    ///         if let Err(error) = ask(server, peer, answered, tries_left - 1) {
    ///             eprintln!("{peer}: {error}");
    ///         }
    ///     })?;
    ///     Ok(())
    /// }
    ///
    /// # let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    /// # let peer = peer.local_addr().unwrap();
    /// let answered = Arc::new(AtomicBool::new(false));
    /// let heard = Arc::clone(&answered);
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |_, _, _| {
    ///     heard.store(true, Ordering::Relaxed);
    ///     Ok(())
    /// })?;
    /// ask(&server.handle(), peer, answered, 5)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn after(
        &self,
        delay: Duration,
        f: impl FnOnce(&ServerHandle<A>) + Send + 'static,
    ) -> Result<Timer, ChangeError> {
        // Weak, lest what waits in the engine keeps the engine.
        let engine = Arc::downgrade(&self.engine);
        let reach = self.reach.clone();
        let action = move || {
            if let Some(engine) = engine.upgrade() {
                let counts = Arc::clone(&reach.counts);
                let server = ServerHandle::new(engine, reach);
                counts.contain("a timer", || f(&server));
            }
        };
        let key = self.engine.set_timer(delay, Box::new(action));
        let key = key.map_err(|error| self.engine.socket().explain_change(error))?;
        Ok(Timer { key })
    }
}
