//! The waker that the thread blocked in a receive can hear.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Socket;
use crate::sys::{is_bound_to_one_host, mapped, unmapped};

/// A flag, a condition variable for who waits for the waker alone, and a
/// datagram from the server's socket to itself for who waits there.
///
/// The kernel gives that datagram to anyone who has the socket: to another
/// server of this crate, in this process or in another one, as well. Each of
/// them knows it by its bytes and by its source, which is the socket's own
/// address, and looks at its own flag: so no handler ever sees one.
#[derive(Debug)]
pub(crate) struct Waker {
    state: Mutex<State>,
    heard: Condvar,
    /// A second descriptor of the server's socket.
    socket: UdpSocket,
    /// Where that receives what it sends; `None` if nowhere.
    target: Option<SocketAddr>,
    /// What wakes who waits at a Unix socket.
    #[cfg(unix)]
    pipe: Option<super::unix::Pipe>,
}

#[derive(Debug, Default)]
struct State {
    is_woken: bool,
    /// Somebody is blocked in a receive, or about to be: the one who can only be
    /// woken by a datagram.
    is_receiving: bool,
}

/// Somebody is blocked in a receive as long as this is there.
#[derive(Debug)]
pub(super) struct Receiving<'a>(&'a Waker);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.state().is_receiving = false;
    }
}

/// The datagram that wakes, in words for who finds it in a trace.
const WAKE_UP: [u8; 23] = *b"socketserver: wake up!\n";

impl Waker {
    /// The length of the datagram that wakes, in bytes.
    pub(super) const DATAGRAM_LEN: usize = WAKE_UP.len();

    /// Makes the waker for whoever waits at `socket`.
    pub(crate) fn new(socket: &Socket) -> io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            heard: Condvar::new(),
            socket: socket.bound.inner.try_clone()?,
            target: match socket.unix_addr() {
                Some(_) => None,
                None => target(socket.local_addr()),
            },
            #[cfg(unix)]
            pipe: socket
                .unix_addr()
                .map(|_| super::unix::Pipe::new())
                .transpose()?,
        })
    }

    #[cfg(unix)]
    pub(super) fn pipe(&self) -> Option<&super::unix::Pipe> {
        self.pipe.as_ref()
    }

    /// Wakes the waiting thread, or the next that would wait.
    ///
    /// A datagram is sent only to who needs one. What nobody is left to receive
    /// would wait in the socket, for whoever else has it.
    pub(crate) fn wake(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_woken, true) {
            return;
        }
        self.heard.notify_one();
        #[cfg(unix)]
        if let (true, Some(pipe)) = (state.is_receiving, &self.pipe) {
            pipe.fill();
        }
        if let (true, Some(target)) = (state.is_receiving, self.target) {
            // When it cannot be sent, is lost or taken by another server, the
            // flag is seen at the next datagram or at the end of the long read
            // timeout.
            let _ = self.socket.send_to(&WAKE_UP, target);
        }
    }

    /// Before a receive: from now on who wakes sends a datagram. `None` if
    /// it was woken already, which is cleared then. Both under the
    /// lock under which it is woken, so no wake-up is missed in between.
    pub(super) fn receiving(&self) -> Option<Receiving<'_>> {
        let mut state = self.state();
        if std::mem::take(&mut state.is_woken) {
            return None;
        }
        state.is_receiving = true;
        Some(Receiving(self))
    }

    /// Whether this datagram is that of a waker at this socket, be it another
    /// server's.
    pub(super) fn is_wake_up(&self, bytes: &[u8], from: SocketAddr) -> bool {
        bytes == WAKE_UP && self.target.map(unmapped) == Some(unmapped(from))
    }

    /// Waits for the waker alone; whether it was set.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let (mut state, _) = self
            .heard
            .wait_timeout_while(self.state(), timeout, |state| !state.is_woken)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.is_woken)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the socket reaches itself. A socket bound to a group or a broadcast
/// address receives nothing else: it learns of the waker at the end of its long
/// read timeout, and nobody else hears anything of it.
fn target(own: SocketAddr) -> Option<SocketAddr> {
    // The unspecified address of IPv4 may be spelled as IPv6.
    let mut target = unmapped(own);
    let is_wildcard = target.ip().is_unspecified();
    if !is_wildcard && !is_bound_to_one_host(target) {
        return None;
    }
    if is_wildcard {
        target.set_ip(match target {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Some(mapped(target, own.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::TakeOver;

    /// A socket with its waker, and a second hold on it to look at what waits there.
    fn hung(at: &str) -> (Waker, UdpSocket) {
        let socket = UdpSocket::bind(at).expect("a free port");
        let same = socket.try_clone().expect("a second descriptor");
        let socket = Socket::new(socket, TakeOver::default()).expect("a UDP socket");
        let waker = Waker::new(&socket).expect("a third descriptor");
        let patience = Some(Duration::from_millis(200));
        same.set_read_timeout(patience).expect("not zero");
        (waker, same)
    }

    #[test]
    fn who_is_not_receiving_hears_it_later_and_no_datagram_is_left() {
        let (waker, same) = hung("127.0.0.1:0");
        waker.wake();
        assert!(waker.receiving().is_none(), "it was woken");
        assert!(waker.receiving().is_some(), "and is silent again");
        waker.wake();
        assert!(same.recv(&mut [0; 32]).is_err(), "nothing waits");
        assert!(waker.receiving().is_none());
    }

    #[test]
    fn who_is_receiving_is_woken_by_one_datagram_wherever_it_is_bound() {
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let (waker, same) = hung(at);
            let receiving = waker.receiving().expect("it is silent");
            waker.wake();
            waker.wake();
            let mut bytes = [0; 32];
            let (len, from) = same.recv_from(&mut bytes).expect("it was woken");
            assert!(waker.is_wake_up(&bytes[..len], from), "{at}: from {from}");
            drop(receiving);
            assert!(same.recv(&mut bytes).is_err(), "once");
            assert!(
                waker.receiving().is_none(),
                "the flag stays until it is seen"
            );
        }
    }

    #[test]
    fn the_same_bytes_from_anyone_else_are_a_datagram_as_any_other() {
        let (waker, same) = hung("127.0.0.1:0");
        let own = same.local_addr().expect("it is bound");
        let other = SocketAddr::from(([127, 0, 0, 1], own.port() ^ 1));
        assert!(waker.is_wake_up(&WAKE_UP, own));
        assert!(!waker.is_wake_up(&WAKE_UP, other));
        assert!(!waker.is_wake_up(b"socketserver", own));
    }
}
