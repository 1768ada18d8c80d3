//! What only some systems can be asked of a socket, and what users ask of it
//! themselves, before it is bound.

use std::fmt;
use std::io;
use std::sync::Arc;

use socket2::Socket;

/// A socket as users' code is shown it.
#[cfg(not(windows))]
pub(crate) type SocketView<'a> = std::os::fd::BorrowedFd<'a>;
#[cfg(windows)]
pub(crate) type SocketView<'a> = std::os::windows::io::BorrowedSocket<'a>;

/// Users' code that sets a socket up.
#[derive(Clone)]
pub(crate) struct Configure(Arc<Hook>);

type Hook = dyn Fn(SocketView<'_>) -> io::Result<()> + Send + Sync;

impl Configure {
    pub(crate) fn new(
        hook: impl Fn(SocketView<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(hook))
    }

    fn call(&self, socket: &Socket) -> io::Result<()> {
        #[cfg(not(windows))]
        let view = std::os::fd::AsFd::as_fd(socket);
        #[cfg(windows)]
        let view = std::os::windows::io::AsSocket::as_socket(socket);
        (self.0)(view)
    }
}

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure")
    }
}

/// What is asked by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeforeBind {
    /// `SO_BINDTODEVICE`.
    pub(crate) device: Option<String>,
    /// `IP_FREEBIND`, `IPV6_FREEBIND`.
    pub(crate) freebind: Option<bool>,
    /// `SO_MARK`.
    pub(crate) mark: Option<u32>,
    /// `SO_PRIORITY`.
    pub(crate) priority: Option<u32>,
    /// Asked last.
    pub(crate) configure: Option<Configure>,
}

/// Why a socket could not be opened.
#[derive(Debug)]
pub(crate) struct OpenError {
    /// The option that the system refused, if it was one that has a name.
    pub(crate) option: Option<&'static str>,
    pub(crate) cause: io::Error,
}

impl From<io::Error> for OpenError {
    fn from(cause: io::Error) -> Self {
        Self {
            option: None,
            cause,
        }
    }
}

impl BeforeBind {
    /// The options that were asked for, by name.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &'static str> {
        let asked = [
            ("device", self.device.is_some()),
            ("freebind", self.freebind.is_some()),
            ("mark", self.mark.is_some()),
            ("priority", self.priority.is_some()),
            ("configure_socket", self.configure.is_some()),
        ];
        asked
            .into_iter()
            .filter_map(|(option, is_asked)| is_asked.then_some(option))
    }

    pub(super) fn apply(&self, socket: &Socket, is_v6: bool) -> Result<(), OpenError> {
        let named = |option| {
            move |cause| OpenError {
                option: Some(option),
                cause,
            }
        };
        if let Some(device) = &self.device {
            only_here::bind_device(socket, device).map_err(named("device"))?;
        }
        if let Some(on) = self.freebind {
            only_here::set_freebind(socket, is_v6, on).map_err(named("freebind"))?;
        }
        if let Some(mark) = self.mark {
            only_here::set_mark(socket, mark).map_err(named("mark"))?;
        }
        if let Some(priority) = self.priority {
            only_here::set_priority(socket, priority).map_err(named("priority"))?;
        }
        match &self.configure {
            Some(configure) => Ok(configure.call(socket)?),
            None => Ok(()),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod only_here {
    use super::{Socket, io};

    pub(super) fn bind_device(socket: &Socket, device: &str) -> io::Result<()> {
        socket.bind_device(Some(device.as_bytes()))
    }

    pub(super) fn set_freebind(socket: &Socket, is_v6: bool, on: bool) -> io::Result<()> {
        if is_v6 {
            socket.set_freebind_v6(on)
        } else {
            socket.set_freebind_v4(on)
        }
    }

    pub(super) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
        socket.set_mark(mark)
    }

    pub(super) fn set_priority(socket: &Socket, priority: u32) -> io::Result<()> {
        socket.set_priority(priority)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod only_here {
    use super::{Socket, io};

    pub(super) fn bind_device(_: &Socket, _device: &str) -> io::Result<()> {
        Err(unknown())
    }

    pub(super) fn set_freebind(_: &Socket, _is_v6: bool, _on: bool) -> io::Result<()> {
        Err(unknown())
    }

    pub(super) fn set_mark(_: &Socket, _mark: u32) -> io::Result<()> {
        Err(unknown())
    }

    pub(super) fn set_priority(_: &Socket, _priority: u32) -> io::Result<()> {
        Err(unknown())
    }

    fn unknown() -> io::Error {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux has this option; see configure_socket",
        )
    }
}
