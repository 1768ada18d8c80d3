//! A server on a thread of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::thread::JoinHandle;

use super::core::Core;
use super::handle::{ServerHandle, ShutdownReport};
use crate::error::ServeError;
use crate::logging::log_error;
use crate::socket_handle::Address;

/// A server that serves on a thread of its own; it derefs to its [`ServerHandle`].
///
/// Dropping it shuts the server down and waits until it has ended, at most as
/// long as `drain_timeout` and a little more. (Dropped in one of its own
/// handlers it waits for itself that long: call `shutdown` there.)
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
///     Ok(socket.reply(bytes)?)
/// })?
/// .spawn();
/// println!("echoes on {}", server.local_addr());
/// let report = server.stop()?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it shuts the server down"]
#[doc(alias("__enter__", "__exit__"))]
pub struct RunningServer<A = SocketAddr> {
    handle: ServerHandle<A>,
    serving: Option<Serving>,
}

/// The thread that serves, or why there is none.
type Serving = Result<JoinHandle<Result<ShutdownReport, ServeError>>, ServeError>;

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> RunningServer<A> {
    pub(crate) fn start(core: Core<A>) -> Self {
        let handle = core.handle().clone();
        // What `handle_request` keeps ends where it was made.
        core.finish_solo();
        if let Err(error) = core.check_isolation("spawn") {
            let serving = Some(Err(error));
            return Self { handle, serving };
        }
        let started = std::thread::Builder::new()
            .name("socketserver-supervisor".to_owned())
            .spawn(move || core.serve_forever());
        let serving = started.map_err(|cause| handle.not_started(cause));
        Self {
            handle,
            serving: Some(serving),
        }
    }

    /// Waits until the server has ended; it is not told to.
    ///
    /// # Errors
    /// What `serve_forever` returns, and [`ServeError::StartServer`] when there was
    /// no thread for it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// server.handle().shutdown();
    /// server.join()?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn join(mut self) -> Result<ShutdownReport, ServeError> {
        self.wait()
    }

    /// Shuts the server down and waits until it has ended.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// let report = server.stop()?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "server_close")]
    pub fn stop(mut self) -> Result<ShutdownReport, ServeError> {
        self.handle.shutdown();
        self.wait()
    }

    /// A handle that may outlive this.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, _| Ok(()))?.spawn();
    /// let handle = server.handle();
    /// drop(server);
    /// assert_eq!(handle.stats().received, 0);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn handle(&self) -> ServerHandle<A> {
        self.handle.clone()
    }

    fn wait(&mut self) -> Result<ShutdownReport, ServeError> {
        match self.serving.take() {
            Some(Ok(thread)) => match thread.join() {
                Ok(result) => result,
                // The server's own code does not panic, and users' code is
                // contained; should it happen, it is passed on.
                Err(payload) => std::panic::resume_unwind(payload),
            },
            Some(Err(error)) => Err(error),
            None => Err(ServeError::Closed),
        }
    }
}

impl<A> Deref for RunningServer<A> {
    type Target = ServerHandle<A>;

    fn deref(&self) -> &ServerHandle<A> {
        &self.handle
    }
}

impl<A> Drop for RunningServer<A> {
    fn drop(&mut self) {
        self.handle.shutdown();
        let unlogged = self.handle.unlogged();
        if let Some(Ok(thread)) = self.serving.take() {
            match thread.join() {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => log_error!(unlogged, "{error}"),
                Err(_) => {
                    log_error!(unlogged, "{}: the server panicked", self.handle.name());
                }
            }
        }
    }
}
