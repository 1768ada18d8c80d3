//! What a handler answers with.

mod address;
mod deferred;
mod detached;
mod immediate;
mod meta;
mod options;
mod proof;
#[cfg(unix)]
mod unix;

pub(crate) use address::Address;
pub use deferred::DeferredAnswer;
pub(crate) use deferred::{Deferral, FailureSink};
pub use detached::DetachedHandle;
pub(crate) use options::MOST_DSCP;
pub use options::SendOptions;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::engine::{DoorId, Engine, Outbox, SendDefaults};
use crate::error::SendError;
use crate::guard::ValidatedPeers;
use crate::sys::{Egress, Meta, OneThread, unmapped};

/// The server's socket, in a handler's hands: replies to the datagram at hand
/// and sends to anyone.
///
/// There is one for each worker. It is neither `Send` nor `Sync`; what must
/// outlive the handler's call is made with [`detach`](Self::detach):
///
/// ```compile_fail,E0277
/// # use socketserver::ThreadingUdpServer;
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, socket| {
///     // error: a `SocketHandle` stays on the thread of its handler
///     std::thread::spawn(move || socket.reply(b"later"));
///     Ok(())
/// });
/// ```
///
/// Order: what a handler sends to one destination while it runs goes out in the
/// order it was sent, whichever way: `reply`, `send_to`, `try_reply`, `try_send_to`, a
/// [`DetachedHandle`] that was made of this one; what was collected by `writer`
/// comes last. After the handler has returned, a detached handle still sends
/// after what the handler had sent. Across workers nothing is promised.
///
/// # Examples
/// ```
/// use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};
/// use std::net::SocketAddr;
///
/// fn shout(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
///     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
/// }
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", shout)?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[doc(alias = "request")]
pub struct SocketHandle<A = SocketAddr> {
    outbox: Arc<Outbox>,
    server: InServer,
    current: OneThread<Cell<Current<A>>>,
    draft: OneThread<RefCell<Draft>>,
    /// The length of the datagram at hand.
    len: OneThread<Cell<usize>>,
    /// Its answer, if that was deferred.
    deferral: OneThread<RefCell<Option<Deferral>>>,
    sink: Weak<dyn FailureSink<A>>,
}

impl<A> std::fmt::Debug for SocketHandle<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketHandle")
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

/// What a handler reaches of its server.
#[derive(Debug)]
pub(crate) struct InServer {
    pub(crate) engine: Arc<Engine>,
    pub(crate) proofs: Arc<ValidatedPeers>,
    /// What else a handle of the server reaches. Only the server knows its type.
    pub(crate) reach: Arc<dyn Any + Send + Sync>,
}

/// The datagram at hand.
#[derive(Debug, Clone, Copy)]
struct Current<A> {
    /// The sender, which the kernel named.
    peer: A,
    meta: Meta,
}

impl Current<SocketAddr> {
    /// How a datagram to its sender leaves: from the address that it was sent to.
    fn answering(&self, defaults: SendDefaults) -> Egress {
        Egress::answering(&self.meta, defaults.by_interface)
    }

    /// How a datagram to anyone leaves: to the sender as an answer, whatever it is
    /// sent with.
    fn egress_to(&self, to: SocketAddr, defaults: SendDefaults) -> Egress {
        match unmapped(to) == self.peer {
            true => self.answering(defaults),
            false => Egress::default(),
        }
    }
}

/// What a handler has written with [`SocketHandle::writer`].
#[derive(Debug, Default)]
struct Draft {
    bytes: Vec<u8>,
    /// The length it would have, when that is too long.
    overlong: Option<usize>,
}

#[expect(private_bounds, reason = "sealed: there are two kinds of addresses")]
impl<A: Address> SocketHandle<A> {
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        server: InServer,
        sink: Weak<dyn FailureSink<A>>,
    ) -> Self {
        Self {
            outbox,
            current: OneThread::new(Cell::new(Current {
                peer: A::NOBODY,
                meta: Meta::default(),
            })),
            draft: OneThread::new(RefCell::default()),
            server,
            len: OneThread::new(Cell::new(0)),
            deferral: OneThread::new(RefCell::default()),
            sink,
        }
    }

    pub(crate) fn in_server(&self) -> &InServer {
        &self.server
    }

    /// Turns to the next datagram. What was left of a draft is gone.
    pub(crate) fn begin(&self, peer: A, meta: Meta, len: usize) {
        self.current.set(Current { peer, meta });
        self.len.set(len);
        let mut draft = self.draft.borrow_mut();
        draft.bytes.clear();
        draft.overlong = None;
    }

    /// Sends the draft, if something was written.
    pub(crate) fn commit(&self) -> Result<(), SendError> {
        let draft = self.draft.borrow();
        if let Some(len) = draft.overlong {
            let checked = self.current.get().peer.check_len(len);
            return checked.inspect_err(|error| self.outbox.refused(error));
        }
        if draft.bytes.is_empty() {
            return Ok(());
        }
        self.reply(&draft.bytes)
    }

    /// Sends one datagram to the sender of the datagram at hand, from the local
    /// address that it was sent to, also on a server bound to a wildcard.
    ///
    /// It may be batched: then it leaves when the worker has finished its batch,
    /// and within a few milliseconds in any case. It may also leave at once, **before
    /// the handler goes on**: what the peer's next datagram relies on has to be
    /// stored first.
    /// A reply goes out even if the handler returns an error or panics
    /// afterwards; [`writer`](Self::writer) is the form that takes it back.
    ///
    /// # Errors
    /// What can be known at once: [`SendError::TooLong`] above 65,507 bytes for IPv4
    /// and 65,527 for IPv6, [`SendError::PortZero`] and [`SendError::UnspecifiedAddress`] where
    /// nobody can be reached, [`SendError::Closed`]. What fails later is counted by
    /// reason in [`Stats::replies`](crate::Stats::replies) and logged at `warn`, at a limited rate;
    /// so is what an [`AmplificationLimit`](crate::AmplificationLimit) withholds.
    ///
    /// On a Unix socket nothing is batched: it leaves at once, or the error says why not,
    /// `SendError::RefusedToUnix` or `SendError::Unnamed`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     socket.reply(bytes)?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("sendto", "sendmsg"))]
    pub fn reply(&self, bytes: &[u8]) -> Result<(), SendError> {
        A::reply(self, bytes)
    }

    /// Sends one datagram to anyone, batched like [`reply`](Self::reply), so that it,
    /// too, may leave before the handler goes on. To the sender of the datagram at
    /// hand it leaves like a reply, from the address that this was sent to. To
    /// others, on a server bound to a wildcard, it leaves from the address that the
    /// route gives it.
    ///
    /// # Errors
    /// As `reply`, and [`SendError::AddressFamily`].
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// # use std::net::SocketAddr;
    /// let audit: SocketAddr = "127.0.0.1:9999".parse().unwrap();
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |bytes, _, socket| {
    ///     socket.send_to(bytes, audit)?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "sendto")]
    pub fn send_to(&self, bytes: &[u8], to: A) -> Result<(), SendError> {
        A::send_to(self, bytes, to)
    }

    /// Collects one reply piece by piece: Python's `wfile`.
    ///
    /// It is sent, as one datagram like [`reply`](Self::reply), when the handler
    /// returns `Ok` and something was written, and dropped otherwise: no partial
    /// reply, no empty one. All writers of one call collect the same reply. (The bytes of the request
    /// are an [`io::Read`] as they are: Python's `rfile`.)
    ///
    /// Writing fails once the reply is longer than a datagram can be; then
    /// nothing is sent, even if the handler ignores the error.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// use std::io::{BufRead, Write};
    ///
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |mut bytes, _, socket| {
    ///     let mut line = String::new();
    ///     bytes.read_line(&mut line)?;
    ///     write!(socket.writer(), "you said {line}")?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "wfile")]
    pub fn writer(&self) -> impl io::Write + '_ {
        Writer { handle: self }
    }

    /// The local address that the datagram at hand was sent to; replies leave
    /// from there. For one sent to an IPv4 group or a broadcast address, it is
    /// the address that the host answers from, whatever the server is bound to.
    /// For one sent to an IPv6 group the kernel names none: then it is what the
    /// server is bound to, and the route decides where replies leave from.
    ///
    /// # Platform notes
    /// On other systems than Linux, it is what the server is bound to: a wildcard,
    /// if it is one.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |_, _, socket| {
    ///     Ok(socket.reply(socket.local_addr().to_string().as_bytes())?)
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("IP_PKTINFO", "IPV6_PKTINFO"))]
    pub fn local_addr(&self) -> A {
        let meta = self.current.get().meta;
        A::local(self.outbox.socket(), meta.socket.into(), meta.local)
    }

    /// Whether the datagram at hand was longer than `max_packet_size` and is
    /// only its beginning. Only with
    /// [`OnTruncated::Deliver`](crate::OnTruncated::Deliver) does a handler see one.
    ///
    /// # Examples
    /// ```
    /// use socketserver::{OnTruncated, ThreadingUdpServer};
    ///
    /// let server = ThreadingUdpServer::builder()
    ///     .max_packet_size(512)
    ///     .on_truncated(OnTruncated::Deliver)
    ///     .bind_fn("127.0.0.1:0", |_, _, socket| {
    ///         if socket.is_truncated() {
    ///             socket.reply(b"at most 512 bytes, please")?;
    ///         }
    ///         Ok(())
    ///     })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "MSG_TRUNC")]
    pub fn is_truncated(&self) -> bool {
        self.current.get().meta.truncated
    }

    /// An owned handle for the same peer, to answer later or from elsewhere.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
    ///     let (later, question) = (socket.detach(), bytes.to_vec());
    ///     std::thread::Builder::new().spawn(move || {
    ///         if let Err(error) = later.reply(&question) {
    ///             eprintln!("too late: {error}");
    ///         }
    ///     })?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn detach(&self) -> DetachedHandle<A> {
        DetachedHandle {
            outbox: Arc::clone(&self.outbox),
            current: self.current.get(),
            proofs: Arc::downgrade(&self.server.proofs),
        }
    }

    /// The door of the socket that the datagram at hand came in by.
    fn near(&self) -> DoorId {
        self.current.get().meta.socket.into()
    }
}

impl SocketHandle {
    fn answering(&self) -> Egress {
        self.current
            .get()
            .answering(self.outbox.socket().defaults())
    }

    fn egress_to(&self, to: SocketAddr) -> Egress {
        let defaults = self.outbox.socket().defaults();
        self.current.get().egress_to(to, defaults)
    }
}

/// Collects into the handle's draft.
struct Writer<'a, A> {
    handle: &'a SocketHandle<A>,
}

impl<A: Address> io::Write for Writer<'_, A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let to = self.handle.current.get().peer;
        let mut draft = self.handle.draft.borrow_mut();
        let len = draft.overlong.unwrap_or(draft.bytes.len()) + bytes.len();
        if let Err(error) = to.check_len(len) {
            draft.overlong = Some(len);
            return Err(error.into());
        }
        draft.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: the reply is sent when the handler has returned.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
