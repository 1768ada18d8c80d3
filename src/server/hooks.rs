//! What users may hook into a server. A panic in a hook is contained and counted.

use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;

use super::handle::ServerHandle;
use crate::contain::contain;
use crate::engine::{OnExit, Start};
use crate::handler::HandlerError;
use crate::logging::{Unlogged, log_error};
use crate::sys::Datagram;

/// A datagram that was not handled well: what the `handle_error` hook is given.
///
/// [`Display`](std::fmt::Display) says it in one line.
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::builder()
///     .handle_error(|failure| eprintln!("{}: {failure}", failure.addr()))
///     .bind_fn("127.0.0.1:0", |_, _, _| Err("not today".into()))?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
pub struct HandlerFailure<A = SocketAddr> {
    cause: FailureCause,
    addr: A,
    len: usize,
}

/// Why a datagram was not handled well.
///
/// # Examples
/// ```
/// use socketserver::{FailureCause, ThreadingUdpServer};
///
/// let builder = ThreadingUdpServer::builder().handle_error(|failure| {
///     if let FailureCause::Panic(message) = failure.cause() {
///         eprintln!("a bug: {message}");
///     }
/// });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FailureCause {
    /// `setup` or `handle` returned this error.
    Error(HandlerError),
    /// The factory, `setup`, `handle`, `verify_request` or `order_by` panicked with this message.
    Panic(String),
}

impl<A: Copy> HandlerFailure<A> {
    pub(super) fn new(cause: FailureCause, addr: A, len: usize) -> Self {
        Self { cause, addr, len }
    }

    /// What happened.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::HandlerFailure;
    /// fn report(failure: &HandlerFailure) {
    ///     eprintln!("{:?}", failure.cause());
    /// }
    /// ```
    pub fn cause(&self) -> &FailureCause {
        &self.cause
    }

    /// Who had sent the datagram.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::HandlerFailure;
    /// fn report(failure: &HandlerFailure) {
    ///     eprintln!("from {}", failure.addr());
    /// }
    /// ```
    pub fn addr(&self) -> A {
        self.addr
    }

    /// The length of the datagram, in bytes.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::HandlerFailure;
    /// fn report(failure: &HandlerFailure) {
    ///     eprintln!("{} bytes", failure.datagram_len());
    /// }
    /// ```
    pub fn datagram_len(&self) -> usize {
        self.len
    }
}

impl<A: std::fmt::Display> std::fmt::Display for HandlerFailure<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cause, addr, len } = self;
        match cause {
            FailureCause::Error(error) => {
                write!(f, "handler failed on {len} bytes from {addr}: {error}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Ok(())
            }
            FailureCause::Panic(message) => {
                write!(f, "handler panicked on {len} bytes from {addr}: {message}")
            }
        }
    }
}

pub(crate) type VerifyRequest<A> = Box<dyn Fn(&Datagram<'_>, A) -> bool + Send + Sync>;
/// Finds a datagram's key, and hashes it.
pub(crate) type OrderBy<A> = Box<dyn Fn(&[u8], A, &RandomState) -> u64 + Send + Sync>;
pub(crate) type HandleError<A> = Box<dyn Fn(&HandlerFailure<A>) + Send + Sync>;
pub(crate) type ServiceActions<A> = Arc<dyn Fn(&ServerHandle<A>) + Send + Sync>;
pub(crate) type HandleTimeout = Box<dyn Fn() + Send + Sync>;

/// The hooks as they were set.
pub(crate) struct Hooks<A> {
    pub(crate) verify_request: Option<VerifyRequest<A>>,
    pub(crate) order_by: Option<OrderBy<A>>,
    pub(crate) handle_error: Option<HandleError<A>>,
    pub(crate) service_actions: Option<ServiceActions<A>>,
    pub(crate) handle_timeout: Option<HandleTimeout>,
    pub(crate) on_child_start: Option<Start>,
    pub(crate) on_child_exit: Option<OnExit>,
    /// Where it is told that dropping one panicked.
    pub(crate) unlogged: Unlogged,
}

impl<A> Default for Hooks<A> {
    fn default() -> Self {
        Self {
            verify_request: None,
            order_by: None,
            handle_error: None,
            service_actions: None,
            handle_timeout: None,
            on_child_start: None,
            on_child_exit: None,
            unlogged: Unlogged::default(),
        }
    }
}

impl<A> Drop for Hooks<A> {
    /// What users' code captured may panic when it is dropped.
    fn drop(&mut self) {
        let Self {
            verify_request,
            order_by,
            handle_error,
            service_actions,
            handle_timeout,
            on_child_start,
            on_child_exit,
            unlogged,
        } = self;
        for dropped in [
            contain(|| drop(verify_request.take())),
            contain(|| drop(order_by.take())),
            contain(|| drop(handle_error.take())),
            contain(|| drop(service_actions.take())),
            contain(|| drop(handle_timeout.take())),
            contain(|| drop(on_child_start.take())),
            contain(|| drop(on_child_exit.take())),
        ] {
            if let Err(message) = dropped {
                log_error!(*unlogged, "dropping a hook panicked: {message}");
            }
        }
    }
}

impl<A> std::fmt::Debug for Hooks<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("verify_request", &self.verify_request.is_some())
            .field("order_by", &self.order_by.is_some())
            .field("handle_error", &self.handle_error.is_some())
            .field("service_actions", &self.service_actions.is_some())
            .field("handle_timeout", &self.handle_timeout.is_some())
            .field("on_child_start", &self.on_child_start.is_some())
            .field("on_child_exit", &self.on_child_exit.is_some())
            .finish()
    }
}
