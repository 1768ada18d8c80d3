//! Room for the one datagram that a portable receive returns.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{Socket, Waker};
use crate::sys::{BlockShape, Datagram, Meta, UnixAddr, unmapped};

/// One receive slot, a byte longer than the largest datagram: a byte received
/// there says that the datagram was truncated. A waker's datagram always fits.
#[derive(Debug)]
pub(crate) struct ReceiveBlock {
    payload: Box<[u8]>,
    max_packet_size: usize,
    len: usize,
    peer: Option<SocketAddr>,
    /// The sender on a Unix socket.
    unix_peer: UnixAddr,
    /// The number of the socket that was received from last.
    socket: u16,
    /// The one address that it was sent to, where the socket has but one.
    only_ip: Option<IpAddr>,
}

impl ReceiveBlock {
    /// Room for one datagram; batches do not exist here. An error where there is
    /// no memory for it.
    pub(crate) fn new(shape: BlockShape) -> io::Result<Self> {
        let max_packet_size = shape.max_packet_size;
        let room = (max_packet_size + 1).max(Waker::DATAGRAM_LEN);
        let mut payload = Vec::new();
        payload.try_reserve_exact(room)?;
        payload.resize(room, 0);
        Ok(Self {
            payload: payload.into_boxed_slice(),
            max_packet_size,
            len: 0,
            peer: None,
            unix_peer: UnixAddr::UNNAMED,
            socket: 0,
            only_ip: None,
        })
    }

    /// The datagram received last.
    pub(crate) fn datagram(&self, index: usize) -> Datagram<'_> {
        assert!(index == 0, "slot {index} was not filled");
        let most = self.max_packet_size;
        Datagram {
            bytes: &self.payload[..self.len.min(most)],
            meta: Meta {
                peer: self.peer.map(unmapped),
                sent_to: self.only_ip,
                truncated: self.len > most,
                socket: self.socket,
                ..Meta::default()
            },
            name: self.unix_peer.name(),
        }
    }

    /// Not to be known: there is one slot.
    pub(crate) fn is_full(&self) -> bool {
        false
    }

    /// Payload bytes of the datagram received last.
    pub(crate) fn filled_bytes(&self) -> u64 {
        self.datagram(0).bytes.len() as u64
    }

    /// Receives one datagram of a Unix socket, without waiting.
    #[cfg(unix)]
    pub(super) fn fill_unix(&mut self, socket: &Socket) -> io::Result<()> {
        let inner = socket2::SockRef::from(&socket.bound.inner);
        let (len, peer) = crate::sys::unix_socket::receive_now(&inner, &mut self.payload)?;
        (self.len, self.peer, self.unix_peer) = (len, None, peer);
        Ok(())
    }

    /// Receives one datagram; `false` when it was a waker's.
    pub(super) fn fill(&mut self, socket: &Socket, waker: &Waker) -> io::Result<bool> {
        let bound = &socket.bound;
        let (len, peer) = bound.inner.recv_from(&mut self.payload)?;
        if waker.is_wake_up(&self.payload[..len], peer) {
            return Ok(false);
        }
        (self.len, self.peer) = (len, Some(peer));
        self.socket = bound.number;
        self.only_ip = bound.only_ip;
        Ok(true)
    }
}
