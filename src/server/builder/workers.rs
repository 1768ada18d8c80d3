//! The options for threads, of servers that have threads.

use std::ops::RangeInclusive;

use super::{Builder, Style};
use crate::socket_handle::Address;

/// What has worker threads, each with a handler instance of its own.
pub(crate) trait Threading {}

#[expect(
    private_bounds,
    reason = "a builder of anything but a server cannot be made"
)]
impl<S: Style<A> + Threading, A: Address> Builder<S, A> {
    /// How many worker threads there are: exactly `n`, or from `min` up to
    /// `max`, as many as are needed. Defaults to the number of CPUs up to 256.
    ///
    /// The pool grows when all workers are stuck in handlers and there is
    /// something to receive. Workers idle for ten seconds leave. A handler that
    /// blocks occupies one worker: with `max` of them blocked, the others'
    /// datagrams wait in the kernel.
    ///
    /// What they cost, measured on Linux with two CPUs: an idle worker about
    /// 35 KiB of memory, one that has worked 80 to 130 KiB; all else is address
    /// space. A worker whose batches were full of the longest datagrams holds
    /// twice `batch_size` × `max_packet_size`, 4 MiB by default. From 2 to 256 the
    /// pool grows within 50 ms. With handlers that block for 10 ms, 256 workers
    /// handle nine tenths of what they could at best, 512 only six tenths: by
    /// then the threads keep the processors busy.
    ///
    /// # Examples
    /// ```
    /// use socketserver::ThreadingUdpServer;
    ///
    /// let exactly_four = ThreadingUdpServer::builder().workers(4);
    /// let elastic = ThreadingUdpServer::builder().workers(2..=1_000);
    /// ```
    #[doc(alias("process_request", "process_request_thread"))]
    pub fn workers(mut self, workers: impl Into<Workers>) -> Self {
        self.set_workers(workers.into().0);
        self
    }

    /// Whether each datagram gets a handler instance of its own, as each request
    /// does in Python: the factory makes it, `setup`, `handle` and `finish` run, and
    /// it is dropped. Defaults to false: an instance lives as long as its worker,
    /// and **what it keeps in its fields, the next client finds there**.
    ///
    /// For handlers that keep in their fields what belongs to one request. It costs
    /// a call of the factory for each datagram; workers and all else stay as they
    /// are. The other life is described at [`DatagramHandler`](crate::DatagramHandler).
    ///
    /// # Examples
    /// ```
    /// use socketserver::{DatagramHandler, HandlerError, SocketHandle, ThreadingUdpServer};
    /// use std::net::SocketAddr;
    ///
    /// #[derive(Default)]
    /// struct Login {
    ///     user: Option<String>,
    /// }
    ///
    /// impl DatagramHandler for Login {
    ///     fn handle(
    ///         &mut self,
    ///         bytes: &[u8],
    ///         _addr: SocketAddr,
    ///         socket: &SocketHandle,
    ///     ) -> Result<(), HandlerError> {
    ///         // Without `fresh_instance` this would be the user of an earlier client.
    ///         assert_eq!(self.user, None);
    ///         self.user = Some(String::from_utf8(bytes.to_vec())?);
    ///         Ok(socket.reply(b"welcome")?)
    ///     }
    /// }
    ///
    /// let server = ThreadingUdpServer::builder()
    ///     .fresh_instance(true)
    ///     .bind("127.0.0.1:0", Login::default)?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn fresh_instance(mut self, fresh: bool) -> Self {
        self.settings.fresh_instance = fresh;
        self
    }
}

/// How many workers: `n`, or `min..=max`.
///
/// # Examples
/// ```
/// use socketserver::Workers;
///
/// assert_eq!(Workers::from(4), Workers::from(4..=4));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers(RangeInclusive<usize>);

impl From<usize> for Workers {
    fn from(count: usize) -> Self {
        Self(count..=count)
    }
}

impl From<RangeInclusive<usize>> for Workers {
    fn from(range: RangeInclusive<usize>) -> Self {
        Self(range)
    }
}
