//! The options of Unix sockets, and where options end.

use std::fmt::Debug;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::ThreadingUnixDatagramServer;
use crate::error::BindError;
use crate::handler::{HandlerError, HandlerFactory};
use crate::server::{Builder, UnixGiven, open_unix};
use crate::socket_handle::SocketHandle;
use crate::sys::UnixAddr;

impl Builder<ThreadingUnixDatagramServer, UnixAddr> {
    /// Whether a file in the way is replaced if it is a socket that nobody has any more:
    /// what a server leaves that was killed. Defaults to false: any file there is an
    /// error, [`AddrInUse`](std::io::ErrorKind::AddrInUse).
    ///
    /// A socket that somebody has is never replaced, nor any other file.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// let builder = ThreadingUnixDatagramServer::builder().replace_stale_socket(true);
    /// ```
    #[doc(alias = "allow_reuse_address")]
    pub fn replace_stale_socket(mut self, replace: bool) -> Self {
        self.settings.unix.replace_stale = replace;
        self
    }

    /// The permissions of the socket's file: who may write to it may send. Defaults to
    /// what the umask leaves. An abstract name has none, and lets everybody send.
    ///
    /// # Platform notes
    /// On other systems than Linux, the file has for a moment what the umask leaves.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// let builder = ThreadingUnixDatagramServer::builder().socket_mode(0o660);
    /// ```
    #[doc(alias("chmod", "umask", "SocketMode"))]
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.settings.unix.mode = Some(mode);
        self
    }

    /// Binds to a path, which must not exist yet, for handlers that `factory` makes, or
    /// for one function in [`unix::from_fn`](crate::unix::from_fn). No thread is started yet.
    ///
    /// The file is removed when the server is closed or dropped, unless it is another by
    /// then. On Linux, what begins with a zero byte is a name in the abstract namespace,
    /// as in Python, and has no file.
    ///
    /// # Errors
    /// [`BindError::Unix`]: of the kind `InvalidInput` for a path that is too long, of
    /// more than 107 bytes on Linux; [`BindError::Config`] for options that make no
    /// sense.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ThreadingUnixDatagramServer, unix};
    /// # let path = std::env::temp_dir().join(format!("built-{}", std::process::id()));
    /// let echo = unix::from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUnixDatagramServer::builder().socket_mode(0o600).bind(path, echo)?;
    ///
    /// let long = ThreadingUnixDatagramServer::builder().bind("x".repeat(200), echo);
    /// assert!(long.unwrap_err().to_string().contains("the path has 200 bytes"));
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias("RequestHandlerClass", "server_bind", "server_activate"))]
    pub fn bind<F, Kind>(
        self,
        path: impl AsRef<Path> + Debug,
        factory: F,
    ) -> Result<ThreadingUnixDatagramServer, BindError>
    where
        F: HandlerFactory<Kind, UnixAddr> + Send + Sync + 'static,
    {
        self.settings.check()?;
        let path = path.as_ref().to_owned();
        let opened = open_unix(UnixGiven::Address(path), &self.settings)?;
        self.on(opened, factory.into_factory())
    }

    /// As [`bind`](Self::bind) with one closure in [`unix::from_fn`](crate::unix::from_fn).
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::ThreadingUnixDatagramServer;
    /// # let path = std::env::temp_dir().join(format!("built-fn-{}", std::process::id()));
    /// let server = ThreadingUnixDatagramServer::builder()
    ///     .workers(2)
    ///     .bind_fn(path, |bytes, _, socket| Ok(socket.reply(bytes)?))?;
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn bind_fn<F>(
        self,
        path: impl AsRef<Path> + Debug,
        f: F,
    ) -> Result<ThreadingUnixDatagramServer, BindError>
    where
        F: Fn(&[u8], UnixAddr, &SocketHandle<UnixAddr>) -> Result<(), HandlerError>
            + Send
            + Sync
            + 'static,
    {
        self.bind(path, f)
    }

    /// Serves on a socket that is bound already, whose file is left alone: whoever has
    /// made it removes it. Its options stay as they are, but for buffer sizes that were
    /// set here.
    ///
    /// # Errors
    /// [`BindError::TakeOver`] if it cannot be served: if it is not a Unix datagram
    /// socket, has no name, or is connected. [`BindError::Config`] as for `bind`, and for
    /// options that concern the file.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::{ThreadingUnixDatagramServer, unix};
    /// use std::os::unix::net::UnixDatagram;
    ///
    /// # let path = std::env::temp_dir().join(format!("built-given-{}", std::process::id()));
    /// let socket = UnixDatagram::bind(&path).unwrap();
    /// let echo = unix::from_fn(|bytes, _addr, socket| Ok(socket.reply(bytes)?));
    /// let server = ThreadingUnixDatagramServer::builder().from_socket(socket, echo)?;
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[doc(alias = "bind_and_activate")]
    pub fn from_socket<F, Kind>(
        self,
        socket: UnixDatagram,
        factory: F,
    ) -> Result<ThreadingUnixDatagramServer, BindError>
    where
        F: HandlerFactory<Kind, UnixAddr> + Send + Sync + 'static,
    {
        self.settings.check()?;
        let opened = open_unix(UnixGiven::Socket(socket), &self.settings)?;
        self.on(opened, factory.into_factory())
    }
}
