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
    rung: Mutex<bool>,
    heard: Condvar,
    sender: UdpSocket,
    sender_addr: SocketAddr,
    target: SocketAddr,
    secret: [u8; Self::SECRET_LEN],
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
            rung: Mutex::new(false),
            heard: Condvar::new(),
            sender_addr: sender.local_addr()?,
            sender,
            target,
            secret: secret(),
        })
    }

    /// Wakes the waiting thread, or the next that would wait.
    pub(crate) fn ring(&self) {
        let mut rung = self.rung();
        if !std::mem::replace(&mut *rung, true) {
            self.heard.notify_one();
            // When it cannot be sent or is lost, the flag is seen at the next
            // datagram or at the end of the long read timeout.
            let _ = self.sender.send_to(&self.secret, self.target);
        }
    }

    /// Silences it; whether it was rung.
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.rung())
    }

    /// Whether this datagram is the bell's own.
    pub(super) fn is_secret(&self, bytes: &[u8], from: SocketAddr) -> bool {
        bytes == self.secret && unmapped(from) == unmapped(self.sender_addr)
    }

    /// Waits for the bell alone; whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let (mut rung, _) = self
            .heard
            .wait_timeout_while(self.rung(), timeout, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *rung))
    }

    fn rung(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
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
