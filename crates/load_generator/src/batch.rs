//! Many datagrams in one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use crate::payload::{Payload, Tag};

/// The most datagrams in one call.
pub const MOST: usize = 32;

/// Room for the datagrams of one call in each direction.
pub struct Batch {
    /// Of a datagram, in bytes.
    size: usize,
    /// One datagram after the other.
    outgoing: Vec<u8>,
    /// One reply after the other, with a byte more for each.
    incoming: Vec<u8>,
    /// How long each reply is.
    lengths: [usize; MOST],
    /// Without addresses: the sockets are connected.
    send_headers: MultiHeaders<()>,
    /// With addresses, since the kernel fills them in.
    receive_headers: MultiHeaders<SockaddrStorage>,
}

impl Batch {
    /// For such datagrams.
    pub fn new(payload: &Payload) -> Self {
        let size = payload.size();
        let mut outgoing = vec![0; size * MOST];
        for datagram in outgoing.chunks_exact_mut(size) {
            payload.prepare(datagram);
        }
        Self {
            size,
            outgoing,
            // With the byte more, a reply that is too long shows.
            incoming: vec![0; (size + 1) * MOST],
            lengths: [0; MOST],
            send_headers: MultiHeaders::preallocate(MOST, None),
            receive_headers: MultiHeaders::preallocate(MOST, None),
        }
    }

    /// Says which datagram the `index`th to send is.
    pub fn tag(&mut self, index: usize, payload: &Payload, tag: Tag) {
        let start = index * self.size;
        payload.tag(&mut self.outgoing[start..start + self.size], tag);
    }

    /// Sends the first `count`; how many the kernel took. Fails if it took none.
    pub fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        if count == 1 {
            return socket.send(&self.outgoing[..self.size]).map(|_| 1);
        }
        let mut datagrams = self.outgoing.chunks_exact(self.size);
        let slices: [[IoSlice<'_>; 1]; MOST] =
            std::array::from_fn(|_| [IoSlice::new(datagrams.next().unwrap_or_default())]);
        let results = sendmmsg(
            socket.as_raw_fd(),
            &mut self.send_headers,
            &slices[..count],
            [None; MOST],
            [],
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(results.count())
    }

    /// Receives at most `most` replies, without waiting; how many there were.
    pub fn receive(&mut self, socket: &UdpSocket, most: usize) -> io::Result<usize> {
        let mut places = self.incoming.chunks_exact_mut(self.size + 1);
        let mut slices: [[IoSliceMut<'_>; 1]; MOST] =
            std::array::from_fn(|_| [IoSliceMut::new(places.next().unwrap_or_default())]);
        let results = recvmmsg(
            socket.as_raw_fd(),
            &mut self.receive_headers,
            slices.iter_mut().take(most),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let mut count = 0;
        for message in results? {
            self.lengths[count] = message.bytes;
            count += 1;
        }
        Ok(count)
    }

    /// The `index`th reply received.
    pub fn reply(&self, index: usize) -> &[u8] {
        let start = index * (self.size + 1);
        &self.incoming[start..start + self.lengths[index]]
    }
}
