//! The options for order: what is handled one after another.

use std::hash::{BuildHasher, Hash};

use super::{Builder, Style};
use crate::engine::Order;
use crate::error::BindError;
use crate::handler::Factory;
use crate::socket_handle::Address;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style<A>, A: Address> Builder<S, A> {
    /// Whether the datagrams of one peer are handled one after another, in the
    /// order received, and answered in that order, while those of different
    /// peers are handled at the same time. Chat and games want this. Defaults
    /// to false: datagrams of one peer may be handled at the same time, too.
    ///
    /// It is the simplest form of [`order_by`](Self::order_by), which says what is
    /// bounded and what it costs; of both, the one that is called last holds. With
    /// [`PerPeer`](crate::PerPeer) it is on unless there is another order.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().order_per_peer(true);
    /// ```
    pub fn order_per_peer(mut self, ordered: bool) -> Self {
        self.settings.order = ordered.then_some(Order::ByPeer);
        self.hooks.order_by = None;
        self
    }

    /// Handles datagrams with the same key one after another, in the order
    /// received, and answers them in that order, while those with different keys
    /// are handled at the same time: a call in SIP, a device behind a gateway, a
    /// document, whoever sends the datagram. Defaults to no order.
    ///
    /// `key` is given the bytes and the peer, and returns a number, an array, a
    /// string, a tuple: whatever can be hashed and borrows nothing. With the peer
    /// in the key, the order is one per peer and key.
    ///
    /// It is called once for each datagram, in the order received, by the worker
    /// that has received it and *before* all guards and
    /// [`verify_request`](Self::verify_request): it sees whatever anybody sends,
    /// empty and truncated datagrams too. Nothing else is received on that socket
    /// before it returns, as what comes later may have the same key. So it should
    /// take a microsecond and wait for nothing; if a batch takes a second, that is
    /// logged at `warn`. If it panics, the datagram counts as panicked and
    /// [`handle_error`](Self::handle_error) is told.
    ///
    /// Keys are spread over 1,024 lanes, or fewer with a
    /// [`max_packet_size`](Self::max_packet_size) above 32,000 bytes (511 by
    /// default); two that share one may wait for each other. What waits behind a
    /// handler waits in its lane, in memory. Each lane has room for one datagram
    /// of the greatest length that no other can take, together at most 32 MiB,
    /// and all of them share another 32 MiB, of which one may use a quarter of
    /// what is left. What finds no room is counted in
    /// [`Shed::lane_full`](crate::Shed::lane_full). Costs a copy of each datagram.
    ///
    /// With several [`shards`](Self::shards), each peer's datagrams come by one
    /// socket, and each socket has an order of its own: datagrams of different
    /// peers with the same key may be handled in another order than they came, but
    /// never at the same time. `handle_request` handles one datagram at a time
    /// and asks for no key.
    ///
    /// # Examples
    /// ```
    /// use socketserver::ThreadingUdpServer;
    ///
    /// // The first eight bytes name the call; what is shorter goes by its peer.
    /// let server = ThreadingUdpServer::builder()
    ///     .order_by(|bytes, peer| bytes.first_chunk::<8>().copied().ok_or(peer))
    ///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn order_by<K: Hash>(
        mut self,
        key: impl Fn(&[u8], A) -> K + Send + Sync + 'static,
    ) -> Self {
        self.settings.order = Some(Order::ByKey);
        self.hooks.order_by = Some(Box::new(move |bytes, peer, hasher| {
            hasher.hash_one(key(bytes, peer))
        }));
        self
    }

    /// What is kept for each peer wants its datagrams in order. Where another order was
    /// asked for, that stands.
    pub(super) fn set_order_of(&mut self, factory: &Factory<A>) -> Result<(), BindError> {
        if let Some(kept) = factory.kept() {
            kept.check()?;
            self.settings.check_sessions()?;
            self.settings.order.get_or_insert(Order::ByPeer);
        }
        Ok(())
    }
}
