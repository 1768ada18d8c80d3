//! Peers on Unix sockets: each send is one call, which waits for nothing.

use std::net::SocketAddr;

use super::{Address, DeferredAnswer, DetachedHandle, SocketHandle};
use crate::engine::{DoorId, SharedSocket, Unsolicited};
use crate::error::SendError;
use crate::sys::{Datagram, Egress, LocalEnd, UnixAddr};

impl Address for UnixAddr {
    const NOBODY: Self = Self::UNNAMED;

    /// Who has no name is somebody all the same.
    fn of(datagram: &Datagram<'_>) -> Option<Self> {
        Some(Self::from_name(datagram.name))
    }

    fn ip(self) -> Option<SocketAddr> {
        None
    }

    fn local(sockets: &SharedSocket, _door: DoorId, _local: Option<LocalEnd>) -> Self {
        sockets.unix_addr().copied().unwrap_or(Self::UNNAMED)
    }

    /// The kernel alone knows: its limit is the send buffer.
    fn check_len(self, _len: usize) -> Result<(), SendError> {
        Ok(())
    }

    fn egress(_handle: &SocketHandle<Self>) -> Egress {
        Egress::default()
    }

    fn reply(handle: &SocketHandle<Self>, bytes: &[u8]) -> Result<(), SendError> {
        let peer = handle.current.get().peer;
        handle.outbox.send_to_unix(bytes, &peer)
    }

    fn send_to(handle: &SocketHandle<Self>, bytes: &[u8], to: Self) -> Result<(), SendError> {
        handle.outbox.send_to_unix(bytes, &to)
    }

    fn try_reply(handle: &SocketHandle<Self>, bytes: &[u8]) -> Result<(), SendError> {
        Self::reply(handle, bytes)
    }

    fn try_send_to(handle: &SocketHandle<Self>, bytes: &[u8], to: Self) -> Result<(), SendError> {
        Self::send_to(handle, bytes, to)
    }

    fn send_detached(
        handle: &DetachedHandle<Self>,
        bytes: &[u8],
        to: Self,
    ) -> Result<(), SendError> {
        handle.outbox.send_to_unix(bytes, &to)
    }

    fn answer(answer: &DeferredAnswer<Self>, bytes: &[u8], is_last: bool) -> Result<(), SendError> {
        let DeferredAnswer { outbox, stage, .. } = answer;
        let answers = outbox.socket().answers();
        answers.send_at_once(answer.door, stage, is_last, || {
            outbox.send_to_unix(bytes, &answer.peer)
        })
    }

    fn send_unsolicited(
        sends: &Unsolicited,
        bytes: &[u8],
        to: Self,
        _: DoorId,
    ) -> Result<(), SendError> {
        sends.send_to_unix(bytes, &to)
    }
}
