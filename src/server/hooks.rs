//! What users may hook into a server. A panic in a hook is contained and counted.

use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;

use super::handle::ServerHandle;
use crate::contain::contain;
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
pub struct HandlerFailure {
    cause: FailureCause,
    addr: SocketAddr,
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

impl HandlerFailure {
    pub(super) fn new(cause: FailureCause, addr: SocketAddr, len: usize) -> Self {
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
    pub fn addr(&self) -> SocketAddr {
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

impl std::fmt::Display for HandlerFailure {
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

pub(crate) type VerifyRequest = Box<dyn Fn(&Datagram<'_>, SocketAddr) -> bool + Send + Sync>;
/// Finds a datagram's key, and hashes it.
pub(crate) type OrderBy = Box<dyn Fn(&[u8], SocketAddr, &RandomState) -> u64 + Send + Sync>;
pub(crate) type HandleError = Box<dyn Fn(&HandlerFailure) + Send + Sync>;
pub(crate) type ServiceActions = Arc<dyn Fn(&ServerHandle) + Send + Sync>;
pub(crate) type HandleTimeout = Box<dyn Fn() + Send + Sync>;

/// The hooks as they were set.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) verify_request: Option<VerifyRequest>,
    pub(crate) order_by: Option<OrderBy>,
    pub(crate) handle_error: Option<HandleError>,
    pub(crate) service_actions: Option<ServiceActions>,
    pub(crate) handle_timeout: Option<HandleTimeout>,
    /// Where it is told that dropping one panicked.
    pub(crate) unlogged: Unlogged,
}

impl Drop for Hooks {
    /// What users' code captured may panic when it is dropped.
    fn drop(&mut self) {
        let Self {
            verify_request,
            order_by,
            handle_error,
            service_actions,
            handle_timeout,
            unlogged,
        } = self;
        for dropped in [
            contain(|| drop(verify_request.take())),
            contain(|| drop(order_by.take())),
            contain(|| drop(handle_error.take())),
            contain(|| drop(service_actions.take())),
            contain(|| drop(handle_timeout.take())),
        ] {
            if let Err(message) = dropped {
                log_error!(*unlogged, "dropping a hook panicked: {message}");
            }
        }
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("verify_request", &self.verify_request.is_some())
            .field("order_by", &self.order_by.is_some())
            .field("handle_error", &self.handle_error.is_some())
            .field("service_actions", &self.service_actions.is_some())
            .field("handle_timeout", &self.handle_timeout.is_some())
            .finish()
    }
}
