//! What both servers have in common, for tests that make one statement about both.

use std::net::SocketAddr;

use socketserver::{
    Builder, ForkingStyleUdpServer, HandlerError, HandlerFactory, Server, SocketHandle,
    ThreadingUdpServer,
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

/// Either server, as tests want it.
pub(crate) trait UdpServer: Server {
    /// As many workers as needed, up to `most`; exactly one for 1.
    fn with_at_most(builder: Builder<Self>, most: usize) -> Builder<Self>;

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

impl UdpServer for ThreadingUdpServer {
    fn with_at_most(builder: Builder<Self>, most: usize) -> Builder<Self> {
        builder.workers(most.min(2)..=most)
    }
}

impl UdpServer for ForkingStyleUdpServer {
    fn with_at_most(builder: Builder<Self>, most: usize) -> Builder<Self> {
        builder.max_children(most)
    }
}

/// Its options, and what ends them in tests: handlers that are meant to fail do
/// so in silence.
pub(crate) trait ServerBuilder: Sized {
    type Server: UdpServer;

    /// As many workers as needed, up to `most`; exactly one for 1.
    fn at_most(self, most: usize) -> Self;

    #[track_caller]
    fn bound(self, f: impl Handle) -> Self::Server;

    #[track_caller]
    fn serving(self, f: impl Handle) -> TestServer {
        TestServer::spawn(self.bound(f))
    }

    /// Serves the handlers that `factory` makes.
    #[track_caller]
    fn serving_handlers<F, Kind>(self, factory: F) -> TestServer
    where
        F: HandlerFactory<Kind> + Send + Sync + 'static;
}

impl<S: UdpServer> ServerBuilder for Builder<S> {
    type Server = S;

    fn at_most(self, most: usize) -> Self {
        S::with_at_most(self, most)
    }

    #[track_caller]
    fn bound(self, f: impl Handle) -> S {
        let quiet = self.stderr_errors(false);
        quiet.bind_fn(ANY_PORT, f).expect("a free port is bound")
    }

    #[track_caller]
    fn serving_handlers<F, Kind>(self, factory: F) -> TestServer
    where
        F: HandlerFactory<Kind> + Send + Sync + 'static,
    {
        let quiet = self.stderr_errors(false);
        let server = quiet.bind(ANY_PORT, factory);
        TestServer::spawn(server.expect("a free port is bound"))
    }
}

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
