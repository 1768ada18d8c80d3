//! Options for where is told what goes wrong.

use super::{Builder, Style};
use crate::logging::Unlogged;
use crate::socket_handle::Address;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style<A>, A: Address> Builder<S, A> {
    /// Whether errors go to standard error in a program without a logger.
    /// Defaults to true: a handler that fails should not do so in silence.
    ///
    /// Errors are what this crate logs at `error`: handlers that fail or panic
    /// without a [`handle_error`](Self::handle_error) hook, panics in hooks, and
    /// what ends a server. Each is one line that begins with `socketserver: `, at
    /// most ten per second of each kind. No logger is what
    /// [`log::max_level`](https://docs.rs/log/latest/log/fn.max_level.html) calls
    /// `Off`: none was installed, or it is told to log nothing. With a logger
    /// this option has no effect.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().stderr_errors(false);
    /// ```
    pub fn stderr_errors(mut self, tell: bool) -> Self {
        self.settings.unlogged = match tell {
            true => Unlogged::ToStderr,
            false => Unlogged::Dropped,
        };
        self
    }
}
