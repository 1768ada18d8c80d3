//! Options for how datagrams pass through: batches, freshness, sockets.

use std::time::Duration;

use super::{Builder, Style};
use crate::socket_handle::Address;

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style<A>, A: Address> Builder<S, A> {
    /// The most datagrams received by one system call. From 1 to 1,024.
    /// Defaults to 32; more gains nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().batch_size(16);
    /// ```
    #[doc(alias("recvmmsg", "sendmmsg", "get_request"))]
    pub fn batch_size(mut self, datagrams: usize) -> Self {
        self.settings.batch_size = datagrams;
        self
    }

    /// The most answers that may be [deferred](crate::SocketHandle::defer) at the same
    /// time; one more is [`SendError::Busy`](crate::SendError::Busy). From 1 to 16,777,216.
    /// Defaults to 65,536: each takes some 100 bytes here, and what is kept of its
    /// datagram.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().max_deferred(1_000);
    /// ```
    pub fn max_deferred(mut self, answers: usize) -> Self {
        self.settings.max_deferred = answers;
        self
    }
}

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style> Builder<S> {
    /// How many sockets share the address (`SO_REUSEPORT`), each with a queue
    /// of its own in the kernel and a worker that waits there: for machines with
    /// many cores, where one queue is the limit. The kernel sends all datagrams
    /// of a peer to the same socket. All sockets share one pool of workers and
    /// one supervisor, and stay open until the server is closed; each has a
    /// [`receive_buffer`](Self::receive_buffer) of its own. Groups are joined by
    /// the first socket alone; a broadcast is received by each of them, and so
    /// handled as often as there are sockets.
    ///
    /// The first socket is bound alone, so that a port that is taken already is
    /// an error as ever. From then on any process of the same user may join, as
    /// with [`allow_reuse_port`](Self::allow_reuse_port). From 1 to 1,024, and
    /// no more than workers; there are never fewer workers than sockets,
    /// whatever their minimum. Defaults to 1. More fail at `bind` on other systems
    /// than Linux, and for a socket that is handed in; of several, `AsFd` gives
    /// the first, so such a server is not handed over to a successor.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().shards(4);
    /// ```
    #[doc(alias = "SO_REUSEPORT")]
    pub fn shards(mut self, sockets: usize) -> Self {
        self.settings.shards = sockets;
        self
    }

    /// Whether equal-sized replies to one peer leave the worker as one send,
    /// which the kernel cuts into datagrams (`UDP_SEGMENT`). Peers see no
    /// difference; the order of what goes to each stays. Defaults to true; has
    /// no effect where the system cannot do it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().coalesce_replies(false);
    /// ```
    #[doc(alias("UDP_SEGMENT", "GSO"))]
    pub fn coalesce_replies(mut self, coalesce: bool) -> Self {
        self.settings.coalesce_replies = coalesce;
        self
    }

    /// Whether the kernel may hand over several datagrams of one peer at once
    /// (`UDP_GRO`), which are told apart again here: each has its own call of
    /// the handler, its own counters, and its own look of the guards. It pays
    /// where peers send bursts of equal-sized datagrams over a network card
    /// that can merge them, and costs a little everywhere else.
    ///
    /// Each of the `batch_size` places of a batch then holds 64 KiB, whatever
    /// [`max_packet_size`](Self::max_packet_size) is; `handle_request` handles
    /// all datagrams of a burst in one call. Defaults to false; has no effect
    /// where the system cannot do it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().coalesce_receives(true);
    /// ```
    #[doc(alias("UDP_GRO", "GRO"))]
    pub fn coalesce_receives(mut self, coalesce: bool) -> Self {
        self.settings.coalesce_receives = coalesce;
        self
    }

    /// Gives up datagrams that have waited longer than this when a worker gets
    /// to them, after a stall or under overload: they are counted in
    /// [`Stats::shed`](crate::Stats::shed) and no handler sees them, so that clients are answered
    /// that still wait. Above zero. Defaults to handling all, however old. On other
    /// systems than Linux, which do not tell how long one has waited, `bind` fails
    /// with [`BindError::Config`](crate::BindError::Config).
    ///
    /// It is the first check of a datagram, before all guards: what is shed is not
    /// charged to its sender. While many are shed, the kernel queues less than
    /// [`receive_buffer`](Self::receive_buffer), about what is handled in this
    /// time, and drops the rest ([`Stats::kernel_drops`](crate::Stats::kernel_drops)):
    /// to receive what is too old by then would take the time to handle others.
    /// Some seconds after the overload it queues as much as before. Where that could
    /// not be had back, as the process has dropped the privilege by which it got so
    /// large a buffer, the kernel goes on to queue as much as ever.
    ///
    /// The age is from the kernel's receive stamp to now, on the system's clock.
    /// If that clock is set while datagrams wait, a step back sheds nothing; a
    /// step forward of less than an hour adds to their age, and may shed them;
    /// a longer step sheds nothing. As it cannot be told from such a step, an age
    /// of an hour or more (twice this limit, if that is longer) sheds nothing
    /// either: what waited through so long a stall is handled.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use std::time::Duration;
    ///
    /// let builder = ThreadingUdpServer::builder().shed_older_than(Duration::from_secs(2));
    /// ```
    #[doc(alias = "SO_TIMESTAMPNS")]
    pub fn shed_older_than(mut self, age: Duration) -> Self {
        self.settings.shed_older_than = Some(age);
        self
    }
}
