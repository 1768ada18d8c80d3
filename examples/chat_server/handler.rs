//! Between the room, which only thinks, and the socket and the screen, which
//! only do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use chat::outcome::Outcome;
use chat::proof::{Proof, Token};
use chat::room::Room;
use chat::screen::Screen;
use socketserver::{DatagramHandler, DetachedHandle, HandlerError, SocketHandle};

/// The chat as a whole, shared by whoever has something to tell the room: the
/// handler, the operator's keyboard and the clock.
///
/// One lock guards the room. Nobody waits while holding it: lines are queued
/// for the screen inside, so that the operator reads them in the room's order,
/// and datagrams are sent outside.
pub(crate) struct Chat {
    /// The room.
    room: Mutex<Room>,
    /// The operator's screen.
    screen: Screen,
    /// How to send without a datagram at hand. Comes with the first datagram;
    /// before it there is nobody to send to.
    outside: OnceLock<DetachedHandle>,
}

impl Chat {
    /// A chat in `room`, shown on `screen`.
    pub(crate) fn new(room: Room, screen: Screen) -> Self {
        Self {
            room: Mutex::new(room),
            screen,
            outside: OnceLock::new(),
        }
    }

    /// The operator has typed a line.
    pub(crate) fn on_operator_line(&self, line: &str) {
        let sends = self.decide(|room| room.on_operator_line(line));
        self.send_from_outside(sends);
    }

    /// Time has passed.
    pub(crate) fn expire(&self) {
        let sends = self.decide(|room| room.expire(Instant::now()));
        self.send_from_outside(sends);
    }

    /// The server is about to end.
    pub(crate) fn close(&self) {
        let sends = self.decide(Room::close);
        self.send_from_outside(sends);
    }

    /// Asks the room what to do, shows what is to be shown, and gives what is
    /// to be sent.
    fn decide(&self, ask: impl FnOnce(&mut Room) -> Outcome) -> Vec<(SocketAddr, String)> {
        // The room has no state halfway through a line that would be worse than
        // no room at all: after a panic the chat goes on.
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = ask(&mut room);
        for line in outcome.shows {
            self.screen.show(line);
        }
        if let Some(socket) = self.outside.get() {
            for addr in outcome.validated {
                socket.mark_validated(addr);
            }
        }
        outcome.sends
    }

    /// Sends what does not answer a datagram.
    fn send_from_outside(&self, sends: Vec<(SocketAddr, String)>) {
        if let Some(socket) = self.outside.get() {
            send_all(sends, |line, to| socket.send_to(line, to));
        }
    }
}

/// The chat as the handler of a server.
pub(crate) struct ChatHandler(Arc<Chat>);

impl ChatHandler {
    /// A handler of this chat.
    pub(crate) fn new(chat: Arc<Chat>) -> Self {
        Self(chat)
    }
}

impl DatagramHandler for ChatHandler {
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        self.0.outside.get_or_init(|| socket.detach());
        let sends = self
            .0
            .decide(|room| room.on_line(Instant::now(), addr, bytes, &Known(socket)));
        send_all(sends, |line, to| socket.send_to(line, to));
        Ok(())
    }
}

/// What the framework knows of the sender.
struct Known<'a>(&'a SocketHandle);

impl Proof for Known<'_> {
    fn token(&self) -> Token {
        self.0.token().short()
    }

    fn validate(&self, token: Token) -> bool {
        self.0.validate(&token)
    }

    fn is_validated(&self) -> bool {
        self.0.is_validated()
    }
}

/// Sends each line. One that cannot be sent, such as an answer to the forged
/// port 0, keeps nobody else from theirs.
fn send_all(
    sends: Vec<(SocketAddr, String)>,
    send: impl Fn(&[u8], SocketAddr) -> Result<(), socketserver::SendError>,
) {
    for (to, line) in sends {
        if let Err(error) = send(line.as_bytes(), to) {
            log::debug!("nothing sent to {to}: {error}");
        }
    }
}
