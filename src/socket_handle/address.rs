//! What a peer is known by, and how it is sent to.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::net::SocketAddr;

use super::{DeferredAnswer, DetachedHandle, SocketHandle};
use crate::engine::{Answer, DoorId, SharedSocket, Unsolicited};
use crate::error::SendError;
use crate::sys::{Datagram, Egress, LocalEnd, max_payload};

/// An address of peers: [`SocketAddr`] for UDP, `UnixAddr` for Unix sockets.
pub(crate) trait Address:
    Copy + Eq + Hash + Debug + Display + Send + Sync + Sized + 'static
{
    /// Nobody's.
    const NOBODY: Self;

    /// Who has sent the datagram; `None` if the kernel named nobody.
    fn of(datagram: &Datagram<'_>) -> Option<Self>;

    /// The same, if it is that of an IP socket.
    fn ip(self) -> Option<SocketAddr>;

    /// The address that a datagram was sent to.
    fn local(sockets: &SharedSocket, door: DoorId, local: Option<LocalEnd>) -> Self;

    /// Refuses what is longer than any datagram to here.
    fn check_len(self, len: usize) -> Result<(), SendError>;

    /// How a deferred answer to the datagram at hand leaves.
    fn egress(handle: &SocketHandle<Self>) -> Egress;

    fn reply(handle: &SocketHandle<Self>, bytes: &[u8]) -> Result<(), SendError>;

    fn send_to(handle: &SocketHandle<Self>, bytes: &[u8], to: Self) -> Result<(), SendError>;

    fn try_reply(handle: &SocketHandle<Self>, bytes: &[u8]) -> Result<(), SendError>;

    fn try_send_to(handle: &SocketHandle<Self>, bytes: &[u8], to: Self) -> Result<(), SendError>;

    fn send_detached(
        handle: &DetachedHandle<Self>,
        bytes: &[u8],
        to: Self,
    ) -> Result<(), SendError>;

    fn answer(answer: &DeferredAnswer<Self>, bytes: &[u8], is_last: bool) -> Result<(), SendError>;

    fn send_unsolicited(
        sends: &Unsolicited,
        bytes: &[u8],
        to: Self,
        near: DoorId,
    ) -> Result<(), SendError>;
}

impl Address for SocketAddr {
    const NOBODY: Self = SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::UNSPECIFIED,
        0,
    ));

    fn of(datagram: &Datagram<'_>) -> Option<Self> {
        datagram.meta.peer
    }

    fn ip(self) -> Option<SocketAddr> {
        Some(self)
    }

    /// The local end, with the port of the socket, or the socket's own address.
    fn local(sockets: &SharedSocket, door: DoorId, local: Option<LocalEnd>) -> Self {
        let bound = sockets.addr_at(door);
        local.map_or(bound, |local| local.with_port(bound.port()))
    }

    fn check_len(self, len: usize) -> Result<(), SendError> {
        let max = max_payload(&self);
        match len > max {
            true => Err(SendError::TooLong { len, max, to: self }),
            false => Ok(()),
        }
    }

    fn egress(handle: &SocketHandle) -> Egress {
        handle.answering()
    }

    fn reply(handle: &SocketHandle, bytes: &[u8]) -> Result<(), SendError> {
        let peer = handle.current.get().peer;
        let outbox = &handle.outbox;
        outbox.push(bytes, peer, &handle.answering(), handle.near())
    }

    fn send_to(handle: &SocketHandle, bytes: &[u8], to: Self) -> Result<(), SendError> {
        let outbox = &handle.outbox;
        outbox.push(bytes, to, &handle.egress_to(to), handle.near())
    }

    fn try_reply(handle: &SocketHandle, bytes: &[u8]) -> Result<(), SendError> {
        let peer = handle.current.get().peer;
        let outbox = &handle.outbox;
        outbox.try_send_to(bytes, peer, &handle.answering(), handle.near())
    }

    fn try_send_to(handle: &SocketHandle, bytes: &[u8], to: Self) -> Result<(), SendError> {
        let outbox = &handle.outbox;
        outbox.try_send_to(bytes, to, &handle.egress_to(to), handle.near())
    }

    fn send_detached(handle: &DetachedHandle, bytes: &[u8], to: Self) -> Result<(), SendError> {
        let outbox = &handle.outbox;
        let egress = handle.current.egress_to(to, outbox.socket().defaults());
        outbox.send_to(bytes, to, &egress, handle.near())
    }

    fn answer(answer: &DeferredAnswer, bytes: &[u8], is_last: bool) -> Result<(), SendError> {
        let (outbox, door) = (&answer.outbox, answer.door);
        let (to, egress) = (answer.peer, answer.egress);
        if answer.is_in_handler() {
            // What the handler sends is batched.
            return outbox.push(bytes, to, &egress, door);
        }
        let sockets = outbox.socket();
        let answers = sockets.answers();
        if let Err(error) = sockets.judge(bytes.len(), to, door) {
            answers.refused(&error);
            return Err(error);
        }
        if outbox.has_queued() {
            // What the handler has sent comes first.
            outbox.flush();
        }
        let sent = Answer { bytes, to, egress };
        answers.send(sockets, door, &answer.stage, sent, is_last)
    }

    fn send_unsolicited(
        sends: &Unsolicited,
        bytes: &[u8],
        to: Self,
        near: DoorId,
    ) -> Result<(), SendError> {
        sends.send_to(bytes, to, near)
    }
}
