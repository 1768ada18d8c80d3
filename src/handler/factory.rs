//! How handlers are handed to a server: by what makes them, or as one function
//! that all workers share.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{DatagramHandler, HandlerError, Keeping};
use crate::socket_handle::SocketHandle;

/// What `bind` takes: a factory of handlers, or one function for all datagrams.
///
/// - A factory, `Fn() -> H` with `H: `[`DatagramHandler`]: `|| Echo`, `Echo::new`.
///   It makes each instance on the thread that uses it, which so need not be `Send`.
/// - One that keeps a session for each peer: [`PerPeer`](crate::PerPeer).
/// - One function that all workers share, `Fn(&[u8], SocketAddr, &SocketHandle) ->
///   Result<(), HandlerError>`: a `fn` by its name, or a closure in [`from_fn`].
///
/// All have to be `Send + Sync + 'static`. `Kind` says which it is;
/// the compiler finds that out.
///
/// # Examples
/// ```
/// use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer, from_fn};
/// use std::net::SocketAddr;
///
/// fn echo(bytes: &[u8], _addr: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
///     Ok(socket.reply(bytes)?)
/// }
///
/// let named = ThreadingUdpServer::bind("127.0.0.1:0", echo)?;
/// let closure = ThreadingUdpServer::bind("127.0.0.1:0", from_fn(|bytes, _addr, socket| {
///     Ok(socket.reply(bytes)?)
/// }))?;
/// let made_for_each_worker = ThreadingUdpServer::bind("127.0.0.1:0", || echo)?;
/// # Ok::<(), socketserver::Error>(())
/// ```
///
/// A closure alone has arguments of unknown types, which `from_fn` tells the compiler:
///
/// ```compile_fail,E0282
/// # use socketserver::ThreadingUdpServer;
/// ThreadingUdpServer::bind("127.0.0.1:0", |bytes, _addr, socket| Ok(socket.reply(bytes)?));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no handlers of datagrams",
    label = "neither a factory of handlers nor one function for all datagrams",
    note = "for one function: `from_fn(|bytes, addr, socket| …)`, \
            which returns `Result<(), HandlerError>`",
    note = "for a type that implements `DatagramHandler`: a closure that makes it, `|| MyHandler`",
    note = "for a type that implements `Session`: `PerPeer::new(|peer| MySession)`",
    note = "for one that awaits: `from_fn`, and in it `socket.defer()?`, as the guide `awaiting` has it"
)]
pub trait HandlerFactory<Kind, A = SocketAddr> {
    #[doc(hidden)]
    fn into_factory(self) -> Factory<A>
    where
        Self: Sized + Send + Sync + 'static;
}

/// The kind of factories: makes a handler of this type.
#[derive(Debug)]
pub struct Makes<H>(std::marker::PhantomData<H>);

/// The kind of functions.
#[derive(Debug)]
pub struct Shared;

impl<F, H, A> HandlerFactory<Makes<H>, A> for F
where
    F: Fn() -> H,
    H: DatagramHandler<A> + 'static,
{
    fn into_factory(self) -> Factory<A>
    where
        Self: Send + Sync + 'static,
    {
        Factory {
            make: Box::new(move || Box::new(self())),
            is_stateless: false,
            keeping: None,
        }
    }
}

impl<F, A: 'static> HandlerFactory<Shared, A> for F
where
    F: Fn(&[u8], A, &SocketHandle<A>) -> Result<(), HandlerError>,
{
    fn into_factory(self) -> Factory<A>
    where
        Self: Send + Sync + 'static,
    {
        let f = Arc::new(self);
        let make = move || {
            let f = Arc::clone(&f);
            move |bytes: &[u8], addr: A, socket: &SocketHandle<A>| f(bytes, addr, socket)
        };
        Factory {
            is_stateless: true,
            ..HandlerFactory::<Makes<_>, A>::into_factory(make)
        }
    }
}

/// One closure for all datagrams, for wherever a [`HandlerFactory`] is taken.
///
/// It returns the closure as it is; it is here to tell the compiler the types of
/// the arguments, so that nobody has to write them out.
///
/// # Examples
/// ```
/// use socketserver::{ThreadingUdpServer, from_fn};
/// use std::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
/// let server = ThreadingUdpServer::from_socket(socket, from_fn(|bytes, _addr, socket| {
///     Ok(socket.reply(bytes)?)
/// }))?;
/// # Ok::<(), socketserver::Error>(())
/// ```
pub fn from_fn<F>(f: F) -> F
where
    F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
{
    f
}

/// Makes handler instances, each on the thread that will use it.
pub struct Factory<A = SocketAddr> {
    make: Box<MakeHandler<A>>,
    /// Whether each instance is as good as any other.
    is_stateless: bool,
    keeping: Option<Arc<dyn Keeping>>,
}

/// Makes a handler on the thread that uses it.
type MakeHandler<A> = dyn Fn() -> Box<dyn DatagramHandler<A>> + Send + Sync;

impl<A> Factory<A> {
    pub(crate) fn make(&self) -> Box<dyn DatagramHandler<A>> {
        (self.make)()
    }

    /// What it keeps beside the instances, which then have nothing of their own.
    pub(crate) fn keeping(self, keeping: Arc<dyn Keeping>) -> Self {
        Self {
            is_stateless: true,
            keeping: Some(keeping),
            ..self
        }
    }

    pub(crate) fn kept(&self) -> Option<&Arc<dyn Keeping>> {
        self.keeping.as_ref()
    }

    /// Whether an instance has nothing of its own that is worth keeping.
    pub(crate) fn is_stateless(&self) -> bool {
        self.is_stateless
    }
}

impl<A> std::fmt::Debug for Factory<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Factory").finish_non_exhaustive()
    }
}
