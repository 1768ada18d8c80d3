//! Knobs for how datagrams pass through: batches, order, freshness, sockets.

use std::time::Duration;

use super::{Builder, Style};

#[expect(
    private_bounds,
    reason = "a builder of anything but the two servers cannot be made"
)]
impl<S: Style> Builder<S> {
    /// The most datagrams received by one system call. From 1 to 1,024.
    /// Defaults to 32; more gains nothing.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().batch_size(16);
    /// ```
    pub fn batch_size(mut self, datagrams: usize) -> Self {
        self.settings.batch_size = datagrams;
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
    pub fn coalesce_replies(mut self, coalesce: bool) -> Self {
        self.settings.coalesce_replies = coalesce;
        self
    }

    /// Whether the kernel may hand over several datagrams of one peer at once
    /// (`UDP_GRO`), which are told apart again here: each has its own call of
    /// the handler, its own counters, and its own look of the guards. It pays
    /// where peers send trains of equal-sized datagrams over a network card
    /// that can merge them, and costs a little everywhere else.
    ///
    /// Each of the `batch_size` places of a batch then holds 64 KiB, whatever
    /// [`max_packet_size`](Self::max_packet_size) is; `handle_request` handles
    /// all datagrams of a train in one call. Defaults to false; has no effect
    /// where the system cannot do it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let builder = ThreadingUdpServer::builder().coalesce_receives(true);
    /// ```
    pub fn coalesce_receives(mut self, coalesce: bool) -> Self {
        self.settings.coalesce_receives = coalesce;
        self
    }

    /// Gives up datagrams that have waited longer than this when a worker gets
    /// to them, after a stall or under overload: they are counted in
    /// [`Stats::shed`] and no handler sees them, so that clients are answered
    /// that still wait. The age is the kernel's, from its receive stamp; a
    /// clock that is set meanwhile sheds nothing. Above zero. Defaults to
    /// handling all, however old. Has no effect on other systems than Linux.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use std::time::Duration;
    ///
    /// let builder = ThreadingUdpServer::builder().shed_older_than(Duration::from_secs(2));
    /// ```
    pub fn shed_older_than(mut self, age: Duration) -> Self {
        self.settings.shed_older_than = Some(age);
        self
    }
}
