//! Errors of a server on a Unix socket, which name its address.

use super::SharedSocket;
#[cfg(unix)]
use crate::error::UnixError;
use crate::error::{ChangeError, ServeError};

#[cfg(unix)]
impl SharedSocket {
    /// The error that users get: with the address that the server is bound to, whatever
    /// kind of address that is.
    pub(crate) fn explain(&self, error: ServeError) -> ServeError {
        let Some(addr) = self.unix_addr() else {
            return error;
        };
        let (action, cause) = match error {
            ServeError::StartWorkers { cause, .. } => ("start a worker thread on", cause),
            ServeError::StartServer { cause, .. } => ("start a thread to serve on", cause),
            ServeError::Begin { cause, .. } => ("begin to serve", cause),
            ServeError::StartService { cause, .. } => {
                ("start a thread for the service_actions hook of", cause)
            }
            ServeError::Receive { cause, .. } => ("receive on", cause),
            other => return other,
        };
        let addr = addr.to_string();
        ServeError::Unix(UnixError {
            action,
            addr,
            cause,
        })
    }

    /// The same for an error of timers.
    pub(crate) fn explain_change(&self, error: ChangeError) -> ChangeError {
        match (self.unix_addr(), error) {
            (Some(addr), ChangeError::StartTimers { cause, .. }) => ChangeError::Unix(UnixError {
                action: "start a thread for the timers of",
                addr: addr.to_string(),
                cause,
            }),
            (_, error) => error,
        }
    }
}

/// There are no Unix sockets.
#[cfg(not(unix))]
impl SharedSocket {
    pub(crate) fn explain(&self, error: ServeError) -> ServeError {
        error
    }

    pub(crate) fn explain_change(&self, error: ChangeError) -> ChangeError {
        error
    }
}
