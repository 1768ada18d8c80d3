//! What both servers have in common, for tests that make one statement about both.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socketserver::{
    Builder, DatagramHandler, Error, ForkingStyleUdpServer, HandlerError, HandlerFailure,
    OnTruncated, RunningServer, ServerHandle, ShutdownReport, SocketHandle, ThreadingUdpServer,
};

use super::{ANY_PORT, TestServer};

/// A closure that handles datagrams.
pub(crate) trait Handle:
    Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static
{
}

impl<F> Handle for F where
    F: Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static
{
}

/// A server that can be bound, served and asked.
pub(crate) trait UdpServer: Sized + Send + 'static {
    type Builder: ServerBuilder<Server = Self>;

    fn builder() -> Self::Builder;
    fn handle(&self) -> ServerHandle;
    fn local_addr(&self) -> SocketAddr;
    fn serve_forever(self) -> Result<ShutdownReport, Error>;
    fn spawn(self) -> RunningServer;
    fn handle_request(&mut self, timeout: Option<Duration>) -> Result<bool, Error>;

    /// Binds `f` to a free port with default options.
    #[track_caller]
    fn bound(f: impl Handle) -> Self {
        Self::builder().bound(f)
    }

    /// Serves `f` on a free port with default options.
    #[track_caller]
    fn serving(f: impl Handle) -> TestServer {
        Self::builder().serving(f)
    }
}

/// The options that these tests turn.
pub(crate) trait ServerBuilder: Sized {
    type Server: UdpServer<Builder = Self>;

    /// As many workers as needed, up to `most`; exactly one for 1.
    fn at_most(self, most: usize) -> Self;
    fn max_packet_size(self, bytes: usize) -> Self;
    fn on_truncated(self, policy: OnTruncated) -> Self;
    fn receive_buffer(self, bytes: usize) -> Self;
    fn batch_size(self, datagrams: usize) -> Self;
    #[cfg_attr(socketserver_portable, allow(dead_code))]
    fn shards(self, sockets: usize) -> Self;
    fn poll_interval(self, interval: Duration) -> Self;
    fn drain_timeout(self, timeout: Duration) -> Self;
    fn thread_name(self, name: &str) -> Self;
    fn stack_size(self, bytes: usize) -> Self;
    fn verify_request(
        self,
        hook: impl Fn(&[u8], SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self;
    fn handle_error(self, hook: impl Fn(&HandlerFailure) + Send + Sync + 'static) -> Self;
    fn service_actions(self, hook: impl Fn(&ServerHandle) + Send + Sync + 'static) -> Self;
    fn handle_timeout(self, hook: impl Fn() + Send + Sync + 'static) -> Self;
    fn bind<H, F>(self, addr: &str, factory: F) -> Result<Self::Server, Error>
    where
        H: DatagramHandler + 'static,
        F: Fn() -> H + Send + Sync + 'static;
    fn bind_fn(self, addr: &str, f: impl Handle) -> Result<Self::Server, Error>;
    #[allow(dead_code, reason = "not every test target takes sockets over")]
    fn take_over<H, F>(self, socket: UdpSocket, factory: F) -> Result<Self::Server, Error>
    where
        H: DatagramHandler + 'static,
        F: Fn() -> H + Send + Sync + 'static;

    #[track_caller]
    fn bound(self, f: impl Handle) -> Self::Server {
        self.bind_fn(ANY_PORT, f).expect("a free port is bound")
    }

    #[track_caller]
    fn serving(self, f: impl Handle) -> TestServer {
        TestServer::spawn(self.bound(f))
    }

    /// Serves the handlers that `factory` makes.
    #[track_caller]
    fn serving_handlers<H, F>(self, factory: F) -> TestServer
    where
        H: DatagramHandler + 'static,
        F: Fn() -> H + Send + Sync + 'static,
    {
        let server = self.bind(ANY_PORT, factory).expect("a free port is bound");
        TestServer::spawn(server)
    }
}

macro_rules! implement_for {
    ($server:ident, |$builder:ident, $most:ident| $at_most:expr) => {
        impl UdpServer for $server {
            type Builder = Builder<$server>;

            fn builder() -> Self::Builder {
                $server::builder()
            }
            fn handle(&self) -> ServerHandle {
                $server::handle(self)
            }
            fn local_addr(&self) -> SocketAddr {
                $server::local_addr(self)
            }
            fn serve_forever(self) -> Result<ShutdownReport, Error> {
                $server::serve_forever(self)
            }
            fn spawn(self) -> RunningServer {
                $server::spawn(self)
            }
            fn handle_request(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
                $server::handle_request(self, timeout)
            }
        }

        impl ServerBuilder for Builder<$server> {
            type Server = $server;

            fn at_most(self, $most: usize) -> Self {
                let $builder = self;
                $at_most
            }
            fn max_packet_size(self, bytes: usize) -> Self {
                Builder::max_packet_size(self, bytes)
            }
            fn on_truncated(self, policy: OnTruncated) -> Self {
                Builder::on_truncated(self, policy)
            }
            fn receive_buffer(self, bytes: usize) -> Self {
                Builder::receive_buffer(self, bytes)
            }
            fn batch_size(self, datagrams: usize) -> Self {
                Builder::batch_size(self, datagrams)
            }
            fn shards(self, sockets: usize) -> Self {
                Builder::shards(self, sockets)
            }
            fn poll_interval(self, interval: Duration) -> Self {
                Builder::poll_interval(self, interval)
            }
            fn drain_timeout(self, timeout: Duration) -> Self {
                Builder::drain_timeout(self, timeout)
            }
            fn thread_name(self, name: &str) -> Self {
                Builder::thread_name(self, name)
            }
            fn stack_size(self, bytes: usize) -> Self {
                Builder::stack_size(self, bytes)
            }
            fn verify_request(
                self,
                hook: impl Fn(&[u8], SocketAddr) -> bool + Send + Sync + 'static,
            ) -> Self {
                Builder::verify_request(self, hook)
            }
            fn handle_error(self, hook: impl Fn(&HandlerFailure) + Send + Sync + 'static) -> Self {
                Builder::handle_error(self, hook)
            }
            fn service_actions(self, hook: impl Fn(&ServerHandle) + Send + Sync + 'static) -> Self {
                Builder::service_actions(self, hook)
            }
            fn handle_timeout(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
                Builder::handle_timeout(self, hook)
            }
            fn bind<H, F>(self, addr: &str, factory: F) -> Result<$server, Error>
            where
                H: DatagramHandler + 'static,
                F: Fn() -> H + Send + Sync + 'static,
            {
                Builder::bind(self, addr, factory)
            }
            fn bind_fn(self, addr: &str, f: impl Handle) -> Result<$server, Error> {
                Builder::bind_fn(self, addr, f)
            }
            fn take_over<H, F>(self, socket: UdpSocket, factory: F) -> Result<$server, Error>
            where
                H: DatagramHandler + 'static,
                F: Fn() -> H + Send + Sync + 'static,
            {
                Builder::from_socket(self, socket, factory)
            }
        }
    };
}

implement_for!(ThreadingUdpServer, |builder, most| builder
    .workers(most.min(2)..=most));
implement_for!(ForkingStyleUdpServer, |builder, most| builder
    .max_children(most));

/// Runs each of these generic tests for both servers.
macro_rules! for_both_servers {
    ($($test:ident),+ $(,)?) => {
        mod threading {
            $(
                #[test]
                fn $test() {
                    super::$test::<socketserver::ThreadingUdpServer>();
                }
            )+
        }

        mod forking_style {
            $(
                #[test]
                fn $test() {
                    super::$test::<socketserver::ForkingStyleUdpServer>();
                }
            )+
        }
    };
}
pub(crate) use for_both_servers;
