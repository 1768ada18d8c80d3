//! Sessions that the trap knows.

use std::panic::panic_any;
use std::time::Duration;

use socketserver::{EndReason, HandlerError, Peer, PerPeer, Session, SocketHandle};

use super::scene::{Captured, Payload, Trap};

/// What is kept for each peer.
pub(super) fn sessions(trap: &Trap, maker: Captured) -> PerPeer {
    let at_admission = trap.clone();
    PerPeer::new(move |_| {
        maker.trap.at("maker");
        Guest(maker.trap.clone())
    })
    .tick_every(Duration::from_millis(1))
    .admit(move |_, _, _| {
        at_admission.at("admit");
        true
    })
}

struct Guest(Trap);

impl Session for Guest {
    fn handle(
        &mut self,
        bytes: &[u8],
        peer: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        match bytes {
            b"hello" => self.0.at("handle of a session"),
            b"panic" => panic_any(Payload(self.0.clone())),
            b"bye" => assert!(peer.end(), "for the first time"),
            b"lend" => self.0.lend(socket),
            _ => {}
        }
        Ok(socket.reply(bytes)?)
    }

    fn tick(&mut self, _: &Peer, _: u64) {
        self.0.at("tick");
    }

    fn end(&mut self, _: &Peer, _: EndReason) {
        self.0.at("end of a session");
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.at("drop of a session");
    }
}
