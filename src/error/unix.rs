//! What servers on Unix sockets are refused.

use std::io;

use super::reason;

/// What the system refused to a server on a Unix socket: in [`BindError::Unix`],
/// [`ServeError::Unix`] and [`ChangeError::Unix`].
///
/// [`BindError::Unix`]: crate::BindError::Unix
/// [`ServeError::Unix`]: crate::ServeError::Unix
/// [`ChangeError::Unix`]: crate::ChangeError::Unix
///
/// # Examples
/// ```
/// use socketserver::ThreadingUnixDatagramServer;
///
/// let nowhere = ThreadingUnixDatagramServer::bind_fn("/nowhere/app.sock", |_, _, _| Ok(()));
/// let error = nowhere.unwrap_err().to_string();
/// assert_eq!(error, "cannot bind /nowhere/app.sock: entity not found");
/// ```
#[derive(thiserror::Error)]
#[error("cannot {action} {addr}: {}", reason(.cause))]
#[non_exhaustive]
pub struct UnixError {
    /// What was being done, in words: "bind", "receive on" and so on.
    pub action: &'static str,
    /// The address of the server.
    pub addr: String,
    /// What the system said.
    pub cause: io::Error,
}

/// What "would block" means where each peer has a queue of its own.
pub(super) fn unsent(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "its queue, or this server's send buffer, is full".to_owned(),
        _ => reason(error),
    }
}
