//! Sends from a Unix socket.

use super::Outbox;
use crate::engine::shared_socket::FIRST;
use crate::error::SendError;
use crate::sys::UnixAddr;

impl Outbox {
    /// Sends one datagram at once, and waits for nothing: what has no room is in the
    /// peer's own queue, which it may never read, and the socket is writable all the
    /// same.
    pub(crate) fn send_to_unix(&self, bytes: &[u8], to: &UnixAddr) -> Result<(), SendError> {
        let Some(socket) = self.socket.borrow(FIRST) else {
            self.tally.closed(1);
            return Err(SendError::Closed);
        };
        if to.is_unnamed() {
            self.tally.refused(&SendError::Unnamed);
            return Err(SendError::Unnamed);
        }
        let len = bytes.len();
        match socket.send_to_unix(bytes, to) {
            Ok(()) => {
                self.tally.sent(1, len as u64, 1);
                Ok(())
            }
            Err(cause) => {
                self.tally.failed(&cause);
                let to = Box::new(*to);
                Err(SendError::RefusedToUnix { len, to, cause })
            }
        }
    }
}
