//! The bell that the thread blocked in a receive can hear.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Socket, unmapped};

/// A flag, a condition variable for who waits for the bell alone, and a socket
/// that sends the secret to the server's own port for who waits there.
#[derive(Debug)]
pub(crate) struct Bell {
    state: Mutex<State>,
    heard: Condvar,
    sender: UdpSocket,
    sender_addr: SocketAddr,
    target: SocketAddr,
    secret: [u8; Self::SECRET_LEN],
}

#[derive(Debug, Default)]
struct State {
    is_rung: bool,
    /// Somebody is blocked in a receive, or about to be: the one who can only be
    /// woken by a datagram.
    is_receiving: bool,
}

/// Somebody is blocked in a receive as long as this is there.
#[derive(Debug)]
pub(super) struct Receiving<'a>(&'a Bell);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.state().is_receiving = false;
    }
}

impl Bell {
    /// The length of the datagram that wakes, in bytes.
    pub(super) const SECRET_LEN: usize = 16;

    /// Makes the bell for whoever waits at `socket`.
    pub(crate) fn new(socket: &Socket) -> io::Result<Self> {
        let mut target = unmapped(socket.local_addr());
        // A socket bound to a group hears no other address: it learns of the
        // bell at the end of its long read timeout, and the secret stays here.
        if target.ip().is_unspecified() || target.ip().is_multicast() {
            target.set_ip(match target {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let mut own = target;
        own.set_port(0);
        let sender = UdpSocket::bind(own)?;
        Ok(Self {
            state: Mutex::default(),
            heard: Condvar::new(),
            sender_addr: sender.local_addr()?,
            sender,
            target,
            secret: secret(),
        })
    }

    /// Wakes the waiting thread, or the next that would wait.
    ///
    /// A datagram is sent only to who needs one. What nobody is left to receive
    /// would wait in the socket, for whoever else has it.
    pub(crate) fn ring(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_rung, true) {
            return;
        }
        self.heard.notify_one();
        if state.is_receiving {
            // When it cannot be sent or is lost, the flag is seen at the next
            // datagram or at the end of the long read timeout.
            let _ = self.sender.send_to(&self.secret, self.target);
        }
    }

    /// Before a receive: from now on who rings sends a datagram. `None` if
    /// somebody has rung already; then the bell is silent again. Both under the
    /// lock under which it is rung, so no ringing is missed in between.
    pub(super) fn receiving(&self) -> Option<Receiving<'_>> {
        let mut state = self.state();
        if std::mem::take(&mut state.is_rung) {
            return None;
        }
        state.is_receiving = true;
        Some(Receiving(self))
    }

    /// Whether this datagram is the bell's own.
    pub(super) fn is_secret(&self, bytes: &[u8], from: SocketAddr) -> bool {
        bytes == self.secret && unmapped(from) == unmapped(self.sender_addr)
    }

    /// Waits for the bell alone; whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let (mut state, _) = self
            .heard
            .wait_timeout_while(self.state(), timeout, |state| !state.is_rung)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut state.is_rung))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 bits nobody can guess: the standard library keys each hasher from the
/// system's randomness.
fn secret() -> [u8; Bell::SECRET_LEN] {
    let word = || RandomState::new().build_hasher().finish().to_ne_bytes();
    let mut secret = [0; Bell::SECRET_LEN];
    secret[..8].copy_from_slice(&word());
    secret[8..].copy_from_slice(&word());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::TakeOver;

    /// A socket with its bell, and a second hold on it to look at what waits there.
    fn hung() -> (Bell, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        let same = socket.try_clone().expect("a second descriptor");
        let socket = Socket::new(socket, TakeOver::default()).expect("a UDP socket");
        let bell = Bell::new(&socket).expect("a free port on loopback");
        let patience = Some(Duration::from_millis(200));
        same.set_read_timeout(patience).expect("not zero");
        (bell, same)
    }

    #[test]
    fn who_is_not_receiving_hears_it_later_and_no_datagram_is_left() {
        let (bell, same) = hung();
        bell.ring();
        assert!(bell.receiving().is_none(), "it was rung");
        assert!(bell.receiving().is_some(), "and is silent again");
        bell.ring();
        assert!(same.recv(&mut [0; 32]).is_err(), "nothing waits");
        assert!(bell.receiving().is_none());
    }

    #[test]
    fn who_is_receiving_is_woken_by_one_datagram() {
        let (bell, same) = hung();
        let receiving = bell.receiving().expect("it is silent");
        bell.ring();
        bell.ring();
        let mut bytes = [0; 32];
        let (len, from) = same.recv_from(&mut bytes).expect("it was rung");
        assert!(bell.is_secret(&bytes[..len], from));
        drop(receiving);
        assert!(same.recv(&mut bytes).is_err(), "once");
        assert!(
            bell.receiving().is_none(),
            "the flag stays until it is seen"
        );
    }
}
