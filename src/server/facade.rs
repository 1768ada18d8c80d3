//! The methods that both servers have, written once.

/// Implements them for a server that is a newtype of `Core`.
macro_rules! server_methods {
    ($server:ident) => {
        impl $server {
            /// Binds to the first of the addresses that can be bound, for
            /// handlers that `factory` makes, or for one function in
            /// [`from_fn`](crate::from_fn). No thread is started yet.
            ///
            /// (A closure whose arguments "need type annotations", E0282, is one that
            /// wants `from_fn` around it.)
            ///
            /// # Errors
            /// [`BindError::Resolve`](crate::BindError::Resolve),
            /// [`BindError::NoAddress`](crate::BindError::NoAddress) and
            /// [`BindError::Bind`](crate::BindError::Bind).
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::{DatagramHandler, HandlerError, SocketHandle, ", stringify!($server), "};")]
            /// use std::net::SocketAddr;
            ///
            /// struct Echo;
            ///
            /// impl DatagramHandler for Echo {
            ///     fn handle(
            ///         &mut self,
            ///         bytes: &[u8],
            ///         _addr: SocketAddr,
            ///         socket: &SocketHandle,
            ///     ) -> Result<(), HandlerError> {
            ///         Ok(socket.reply(bytes)?)
            ///     }
            /// }
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind(\"127.0.0.1:0\", || Echo)?;")]
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            #[doc(alias("RequestHandlerClass", "server_bind"))]
            pub fn bind<A, F, Kind>(addr: A, factory: F) -> Result<Self, crate::BindError>
            where
                A: std::net::ToSocketAddrs + std::fmt::Debug,
                F: crate::HandlerFactory<Kind> + Send + Sync + 'static,
            {
                Self::builder().bind(addr, factory)
            }

            /// As [`bind`](Self::bind) with one closure in [`from_fn`](crate::from_fn).
            ///
            /// # Errors
            /// As `bind`.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |bytes, addr, socket| {")]
            ///     println!("{} bytes from {addr}", bytes.len());
            ///     Ok(socket.reply(bytes)?)
            /// })?;
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn bind_fn<A, F>(addr: A, f: F) -> Result<Self, crate::BindError>
            where
                A: std::net::ToSocketAddrs + std::fmt::Debug,
                F: Fn(
                        &[u8],
                        std::net::SocketAddr,
                        &crate::SocketHandle,
                    ) -> Result<(), crate::HandlerError>
                    + Send
                    + Sync
                    + 'static,
            {
                Self::builder().bind_fn(addr, f)
            }

            /// All options, at their defaults.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::builder()")]
            ///     .verify_request(|bytes, _addr| !bytes.is_empty())
            ///     .bind_fn("127.0.0.1:0", |bytes, _, socket| Ok(socket.reply(bytes)?))?;
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn builder() -> crate::Builder<Self> {
                crate::Builder::new()
            }

            /// Serves on a socket that is bound already; its options stay as they
            /// are, but for what tells the server where a datagram was sent to.
            ///
            /// # Errors
            /// [`BindError::TakeOver`](crate::BindError::TakeOver) if it cannot be
            /// served: if it is not a UDP socket, not bound, or connected.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::{", stringify!($server), ", from_fn};")]
            /// use std::net::UdpSocket;
            ///
            /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            /// let echo = from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
            #[doc = concat!("let server = ", stringify!($server), "::from_socket(socket, echo)?;")]
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            #[doc(alias("bind_and_activate", "fileno"))]
            pub fn from_socket<F, Kind>(
                socket: std::net::UdpSocket,
                factory: F,
            ) -> Result<Self, crate::BindError>
            where
                F: crate::HandlerFactory<Kind> + Send + Sync + 'static,
            {
                Self::builder().from_socket(socket, factory)
            }

            /// The address that the server is bound to, with the port really bound:
            /// of several, the first.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?;")]
            /// assert_ne!(server.local_addr().port(), 0);
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            #[doc(alias("server_address", "getsockname"))]
            pub fn local_addr(&self) -> std::net::SocketAddr {
                self.core.handle().local_addr()
            }

            /// All addresses that the server is bound to, in the order in which
            /// `bind_all` was given them, with the port really bound.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?;")]
            /// assert_eq!(server.local_addrs(), [server.local_addr()]);
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn local_addrs(&self) -> Vec<std::net::SocketAddr> {
                self.core.handle().local_addrs()
            }

            /// A handle to watch and stop the server with, from any thread.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?;")]
            /// let handle = server.handle();
            /// std::thread::spawn(move || handle.shutdown());
            /// server.serve_forever()?;
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn handle(&self) -> crate::ServerHandle {
                self.core.handle().clone()
            }

            /// Serves on the calling thread until
            /// [`shutdown`](crate::ServerHandle::shutdown) is called. When it
            /// returns, the port is free.
            ///
            /// # Errors
            /// [`ServeError::StartWorkers`](crate::ServeError::StartWorkers) when the
            /// system has not even the least number of threads to give,
            /// [`ServeError::StartService`](crate::ServeError::StartService) when it has none
            /// for `service_actions`, [`ServeError::Begin`](crate::ServeError::Begin) when
            /// there is no descriptor left to wait with; and
            /// [`ServeError::Receive`](crate::ServeError::Receive), after draining, when
            /// the socket is gone or a receive error does not end.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?;")]
            /// # server.handle().shutdown();
            /// let report = server.serve_forever()?;
            /// println!("{}", report.stats);
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn serve_forever(self) -> Result<crate::ShutdownReport, crate::ServeError> {
                self.core.serve_forever()
            }

            /// Serves on a thread of its own.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            ///
            #[doc = concat!("let server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?.spawn();")]
            /// server.stop()?;
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            pub fn spawn(self) -> crate::RunningServer {
                crate::RunningServer::start(self.core)
            }

            /// Handles one datagram on the calling thread; its replies are sent
            /// when this returns. `None` waits for ever.
            ///
            /// Says whether one was dealt with, also if it was refused, failed or
            /// panicked; or that none came in time, when `handle_timeout` was called;
            /// or that the server was shut down.
            ///
            /// A handler instance that lives on belongs to the calling thread, and is kept
            /// there for the next call. If the server is served or dropped on another
            /// thread, what the instance has captured goes when this one handles a request
            /// of any server, or ends.
            ///
            /// # Errors
            /// [`ServeError::Receive`](crate::ServeError::Receive) when the socket itself is gone,
            /// [`ServeError::Begin`](crate::ServeError::Begin) when there is no descriptor left to
            /// wait with, [`ServeError::Closed`](crate::ServeError::Closed).
            ///
            /// # Examples
            /// ```
            #[doc = concat!("use socketserver::", stringify!($server), ";")]
            /// use std::time::Duration;
            ///
            #[doc = concat!("let mut server = ", stringify!($server), "::bind_fn(\"127.0.0.1:0\", |_, _, _| Ok(()))?;")]
            /// let outcome = server.handle_request(Some(Duration::from_millis(1)))?;
            /// assert_eq!(outcome, socketserver::RequestOutcome::TimedOut);
            /// # Ok::<(), socketserver::Error>(())
            /// ```
            #[doc(alias = "timeout")]
            pub fn handle_request(
                &mut self,
                timeout: Option<std::time::Duration>,
            ) -> Result<crate::RequestOutcome, crate::ServeError> {
                self.core.handle_request(timeout)
            }
        }

        /// What a [`ServerHandle`](crate::ServerHandle) can do, a bound server can
        /// do as well.
        impl std::ops::Deref for $server {
            type Target = crate::ServerHandle;

            fn deref(&self) -> &crate::ServerHandle {
                self.core.handle()
            }
        }

        impl crate::server::Server for $server {
            fn serve_forever(self) -> Result<crate::ShutdownReport, crate::ServeError> {
                self.serve_forever()
            }

            fn spawn(self) -> crate::RunningServer {
                self.spawn()
            }

            fn handle_request(
                &mut self,
                timeout: Option<std::time::Duration>,
            ) -> Result<crate::RequestOutcome, crate::ServeError> {
                self.handle_request(timeout)
            }
        }

        #[cfg(unix)]
        impl std::os::fd::AsFd for $server {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.core.as_fd()
            }
        }
    };
}

pub(crate) use server_methods;
