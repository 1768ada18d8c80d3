//! What a handler answers with.

mod deferred;
mod proof;

pub use deferred::DeferredAnswer;
pub(crate) use deferred::{Deferral, FailureSink};

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use crate::engine::{Engine, Outbox, SharedSocket};
use crate::error::Error;
use crate::guard::ValidatedPeers;
use crate::sys::{LocalEnd, Meta, OneThread, max_payload};

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
/// order it was sent, whichever way: `reply`, `send_to`, `try_send_to`, a
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
#[derive(Debug)]
#[doc(alias = "request")]
pub struct SocketHandle {
    outbox: Arc<Outbox>,
    server: InServer,
    current: OneThread<Cell<Current>>,
    draft: OneThread<RefCell<Draft>>,
    /// The length of the datagram at hand.
    len: OneThread<Cell<usize>>,
    /// Its answer, if that was deferred.
    deferral: OneThread<RefCell<Option<Deferral>>>,
    sink: Weak<dyn FailureSink>,
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
struct Current {
    /// The sender, which the kernel named.
    peer: SocketAddr,
    meta: Meta,
}

/// What a handler has written with [`SocketHandle::writer`].
#[derive(Debug, Default)]
struct Draft {
    bytes: Vec<u8>,
    /// The length it would have, when that is too long.
    overlong: Option<usize>,
}

impl SocketHandle {
    pub(crate) fn new(outbox: Arc<Outbox>, server: InServer, sink: Weak<dyn FailureSink>) -> Self {
        Self {
            outbox,
            current: OneThread::new(Cell::new(Current {
                peer: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
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
    pub(crate) fn begin(&self, peer: SocketAddr, meta: Meta, len: usize) {
        self.current.set(Current { peer, meta });
        self.len.set(len);
        let mut draft = self.draft.borrow_mut();
        draft.bytes.clear();
        draft.overlong = None;
    }

    /// Sends the draft, if something was written.
    pub(crate) fn commit(&self) -> Result<(), Error> {
        let draft = self.draft.borrow();
        if let Some(len) = draft.overlong {
            let Current { peer, meta } = self.current.get();
            return self.outbox.judge(len, peer, meta.socket.into()).map(drop);
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
    /// and within a few milliseconds in any case. It may also leave at once, before
    /// the handler goes on: what the peer's next datagram relies on is better
    /// stored first.
    /// A reply goes out even if the handler returns an error or panics
    /// afterwards; [`writer`](Self::writer) is the form that takes it back.
    ///
    /// # Errors
    /// What can be known at once: [`Error::TooLong`] above 65,507 bytes for IPv4
    /// and 65,527 for IPv6, [`Error::PortZero`] and [`Error::UnspecifiedAddress`] where
    /// nobody can be reached, [`Error::Closed`]. What fails later is counted by
    /// reason in [`Stats::replies`](crate::Stats::replies) and logged at `warn`, at a limited rate;
    /// so is what an [`AmplificationLimit`](crate::AmplificationLimit) withholds.
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
    pub fn reply(&self, bytes: &[u8]) -> Result<(), Error> {
        let Current { peer, meta } = self.current.get();
        self.outbox
            .push(bytes, peer, meta.local, meta.socket.into())
    }

    /// Sends one datagram to anyone, batched like [`reply`](Self::reply). On a
    /// server bound to a wildcard it leaves from the address that the route gives it.
    ///
    /// # Errors
    /// As `reply`, and [`Error::AddressFamily`].
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
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        let near = self.current.get().meta.socket.into();
        self.outbox.push(bytes, to, None, near)
    }

    /// Sends one datagram now, without batching or waiting, and returns the
    /// kernel's answer. What was sent before with `reply` and `send_to` is sent
    /// first.
    ///
    /// # Errors
    /// The operating system's error as it is; `WouldBlock` when the send buffer
    /// has no room for it, or for what was to be sent first. What
    /// [`DetachedHandle::send_to`] refuses without asking the system is an error
    /// of the kind that [`Error::kind`] says, with that error in it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUdpServer;
    /// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, addr, socket| {
    ///     if let Err(error) = socket.try_send_to(bytes, addr) {
    ///         eprintln!("{addr} gets no answer: {error}");
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let near = self.current.get().meta.socket.into();
        self.outbox.try_send_to(bytes, to, near)
    }

    /// Collects one reply piece by piece: Python's `wfile`.
    ///
    /// It is sent, as one datagram, when the handler returns `Ok` and something
    /// was written, and dropped otherwise: no partial reply, no empty one. All
    /// writers of one call collect the same reply. (The bytes of the request
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
    pub fn local_addr(&self) -> SocketAddr {
        let meta = self.current.get().meta;
        local_addr(self.outbox.socket(), meta.socket.into(), meta.local)
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
    pub fn detach(&self) -> DetachedHandle {
        let Current { peer, meta } = self.current.get();
        DetachedHandle {
            outbox: Arc::clone(&self.outbox),
            peer,
            local: meta.local,
            proofs: Arc::downgrade(&self.server.proofs),
            socket: meta.socket,
        }
    }
}

/// Collects into the handle's draft.
struct Writer<'a> {
    handle: &'a SocketHandle,
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let to = self.handle.current.get().peer;
        let mut draft = self.handle.draft.borrow_mut();
        let max = max_payload(&to);
        let len = draft.overlong.unwrap_or(draft.bytes.len()) + bytes.len();
        if len > max {
            draft.overlong = Some(len);
            return Err(Error::TooLong { len, max, to }.into());
        }
        draft.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: the reply is sent when the handler has returned.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers one peer later, or from another thread: the owned form of
/// [`SocketHandle`].
///
/// It keeps neither the server nor its port: once the server is closed, every
/// send returns [`Error::Closed`].
///
/// Sends are not batched: first leaves what the worker that it was made on has
/// batched so far, then the datagram. So it comes after all that the handler has
/// sent before, also once that has returned. Among sends that several threads
/// make at the same time there is no order.
///
/// # Examples
/// ```
/// use socketserver::{DetachedHandle, ThreadingUdpServer};
///
/// let (sender, handles) = std::sync::mpsc::channel::<DetachedHandle>();
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", move |_, _, socket| {
///     sender.send(socket.detach())?;
///     Ok(())
/// })?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DetachedHandle {
    /// Of the worker that it was made on.
    outbox: Arc<Outbox>,
    peer: SocketAddr,
    local: Option<LocalEnd>,
    /// Which of the server's sockets the peer wrote to.
    socket: u16,
    /// Gone with the server: it may have a lot of memory.
    proofs: Weak<ValidatedPeers>,
}

impl DetachedHandle {
    /// The peer that [`reply`](Self::reply) sends to.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DetachedHandle;
    /// fn name(handle: &DetachedHandle) -> String {
    ///     handle.peer_addr().to_string()
    /// }
    /// ```
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The local address that the peer's datagram was sent to, as
    /// [`SocketHandle::local_addr`] says it.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::DetachedHandle;
    /// fn port(handle: &DetachedHandle) -> u16 {
    ///     handle.local_addr().port()
    /// }
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        local_addr(self.outbox.socket(), self.socket.into(), self.local)
    }

    /// Sends one datagram to the peer, from the address that it wrote to. Waits
    /// up to 50 ms for room in the send buffer, and as long for a worker that
    /// does.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, Error};
    /// fn done(handle: &DetachedHandle) -> Result<(), Error> {
    ///     handle.reply(b"done")
    /// }
    /// ```
    pub fn reply(&self, bytes: &[u8]) -> Result<(), Error> {
        let near = self.socket.into();
        self.outbox.send_to(bytes, self.peer, self.local, near)
    }

    /// Sends one datagram to anyone. Waits like [`reply`](Self::reply).
    ///
    /// # Errors
    /// [`Error::Closed`] once the server is closed, [`Error::TooLong`],
    /// [`Error::AddressFamily`], [`Error::PortZero`], [`Error::UnspecifiedAddress`], [`Error::Withheld`] for
    /// what an [`AmplificationLimit`](crate::AmplificationLimit) forbids, and
    /// [`Error::Send`] for what the operating system refuses.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{DetachedHandle, Error};
    /// # use std::net::SocketAddr;
    /// fn tell(handle: &DetachedHandle, peers: &[SocketAddr]) -> Result<(), Error> {
    ///     peers.iter().try_for_each(|peer| handle.send_to(b"news", *peer))
    /// }
    /// ```
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        self.outbox.send_to(bytes, to, None, self.socket.into())
    }
}

/// The local end, with the port of the socket, or the socket's own address.
fn local_addr(sockets: &SharedSocket, door: usize, local: Option<LocalEnd>) -> SocketAddr {
    let bound = sockets.addr_at(door);
    local.map_or(bound, |local| local.with_port(bound.port()))
}
