//! From settings to sockets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use super::settings::{DEFAULT_SEND_BUFFER, Settings};
use super::sockets::{bind_each, bind_shards, not_bound};
use crate::error::BindError;
#[cfg(unix)]
use crate::error::UnixError;
use crate::logging::{log_debug, log_warn};
use crate::sys::{self, Socket};

/// Where the socket comes from.
pub(crate) enum SocketSource {
    /// The first of these addresses that can be bound.
    Addresses(Vec<SocketAddr>),
    /// All of these addresses.
    Each(Vec<SocketAddr>),
    /// Handed in.
    Given(UdpSocket),
}

/// The sockets of one server.
pub(crate) struct Opened {
    pub(crate) sockets: Vec<Arc<Socket>>,
    /// The receive buffer that was asked for.
    pub(crate) asked: Option<usize>,
}

impl Opened {
    /// The addresses of the sockets in their order; one that several share is there once.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        let addrs = self.sockets.iter().map(|socket| socket.local_addr());
        let mut addrs: Vec<_> = addrs.collect();
        addrs.dedup();
        addrs
    }
}

/// Opens or takes over the UDP sockets.
pub(crate) fn open_udp(source: SocketSource, settings: &Settings) -> Result<Opened, BindError> {
    let (inner, options, bound) = match source {
        SocketSource::Addresses(addresses) => {
            let options = settings.socket_options();
            let (first, addr) = bind_first(&addresses, &options)?;
            let sockets = bind_shards(first, settings.shards, &options)?;
            (sockets, options, Some(addr))
        }
        SocketSource::Each(addresses) => {
            settings.check_sockets(addresses.len())?;
            let options = settings.socket_options();
            let sockets = bind_each(&addresses, settings.shards, &options)?;
            (sockets, options, addresses.first().copied())
        }
        SocketSource::Given(inner) => {
            settings.check_taken_over()?;
            let options = settings.taken_over_options();
            sys::check_servable(&inner)
                .and_then(|()| sys::set_buffers(&inner, &options))
                .map_err(|cause| BindError::TakeOver { cause })?;
            (vec![inner], options, None)
        }
    };
    // What the system refuses, it refuses to a socket of this server's or to
    // one that was handed in.
    let failed = |cause| match bound {
        Some(addr) => BindError::Bind { addr, cause },
        None => BindError::TakeOver { cause },
    };
    let is_own = bound.is_some();
    let send_buffer = match settings.send_buffer {
        None if is_own => Some(DEFAULT_SEND_BUFFER),
        asked => asked,
    };
    if let Some(asked) = send_buffer {
        ask_for_send_buffer(&inner, asked, settings.send_buffer.is_some()).map_err(failed)?;
    }
    settings.multicast.set_up(&inner, failed)?;
    for socket in &inner {
        settings.details.set_up(socket)?;
        settings.sending.set_up(socket)?;
    }
    let take_over = |(number, inner)| {
        let take_over = sys::TakeOver {
            ignore_path_mtu: is_own && !settings.sending.dont_fragment,
            stamps: settings.shed_older_than.is_some(),
            coalesce: settings.coalesce_receives,
            number,
        };
        let socket = Socket::new(inner, take_over).map_err(failed)?;
        Ok(Arc::new(socket))
    };
    let sockets = (0..).zip(inner).map(take_over);
    let sockets = sockets.collect::<Result<Vec<_>, BindError>>()?;
    let asked = options.receive_buffer;
    warn_of_small_buffer(&sockets[0], asked);
    Ok(Opened { sockets, asked })
}

/// Binds the first address that can be bound; the error is about the last one.
fn bind_first(
    addresses: &[SocketAddr],
    options: &sys::Options,
) -> Result<(UdpSocket, SocketAddr), BindError> {
    let mut last = None;
    for addr in addresses.iter().copied() {
        match sys::bind(addr, options) {
            Ok(socket) => return Ok((socket, addr)),
            Err(error) => last = Some(not_bound(addr, error)),
        }
    }
    Err(last.expect("an address that resolves to none is refused before"))
}

/// Asks for a send buffer for each socket, and says once if one gets less. That is
/// no warning where no reply waits for an absent host, unless somebody set the size.
fn ask_for_send_buffer(sockets: &[UdpSocket], asked: usize, is_set: bool) -> io::Result<()> {
    let mut short = None;
    for socket in sockets {
        let granted = sys::ask_for_send_buffer(socket, asked)?;
        if granted < asked {
            let addr = socket.local_addr()?;
            let waits = sys::absent_hosts_fill_send_buffer(addr.ip());
            short = short.max(Some((is_set || waits, addr, granted)));
        }
    }
    let Some((is_warning, addr, granted)) = short else {
        return Ok(());
    };
    let line = format!(
        "{addr}: a send buffer of {asked} bytes was asked for, {granted} were granted: replies to \
         absent hosts fill it sooner (on Linux, raise the limit with `sysctl -w net.core.wmem_max={asked}`)"
    );
    if is_warning {
        log_warn!("{line}");
    } else {
        log_debug!("{line}");
    }
    Ok(())
}

fn warn_of_small_buffer(socket: &Socket, asked: Option<usize>) {
    let granted = socket.granted_receive_buffer();
    if let Some(asked) = asked.filter(|asked| granted < *asked) {
        log_warn!(
            "{}: a receive buffer of {asked} bytes was asked for, {granted} were granted: bursts \
             will be dropped sooner (on Linux, raise the limit with `sysctl -w net.core.rmem_max={asked}`)",
            socket.local_addr(),
        );
    }
}

/// Opens the Unix socket, or takes it over.
#[cfg(unix)]
pub(crate) fn open_unix(source: UnixGiven, settings: &Settings) -> Result<Opened, BindError> {
    let is_own = matches!(source, UnixGiven::Address(_));
    let (opened, failed): (_, Box<dyn Fn(io::Error) -> BindError>) = match source {
        UnixGiven::Address(path) => {
            let failed = unix_not_bound(path.display().to_string());
            let addr = sys::UnixAddr::new(&path).map_err(&failed)?;
            let opened = sys::UnixSource::bind(&addr, settings.unix);
            (opened, Box::new(failed))
        }
        UnixGiven::Socket(socket) => {
            settings.check_unix_taken_over()?;
            let failed = |cause| BindError::TakeOver { cause };
            (sys::UnixSource::given(socket), Box::new(failed))
        }
    };
    let opened = opened.map_err(&failed)?;
    if let Some(asked) = settings.receive_buffer {
        opened.set_receive_buffer(asked).map_err(&failed)?;
    }
    let asked = settings.send_buffer;
    let granted = asked
        .or(is_own.then_some(DEFAULT_SEND_BUFFER))
        .map(|asked| opened.ask_for_send_buffer(asked).map_err(&failed))
        .transpose()?;
    let socket = Socket::unix(opened).map_err(&failed)?;
    if let (Some(asked), Some(granted)) = (asked, granted.filter(|of| Some(*of) < asked)) {
        log_warn!(
            "{}: a send buffer of {asked} bytes was asked for, {granted} were granted (on Linux, \
             raise the limit with `sysctl -w net.core.wmem_max={asked}`)",
            socket.name()
        );
    }
    Ok(Opened {
        sockets: vec![Arc::new(socket)],
        asked: settings.receive_buffer,
    })
}

/// Where a Unix socket comes from.
#[cfg(unix)]
pub(crate) enum UnixGiven {
    /// It is opened and bound to this.
    Address(std::path::PathBuf),
    /// Handed in.
    Socket(std::os::unix::net::UnixDatagram),
}

#[cfg(unix)]
fn unix_not_bound(addr: String) -> impl Fn(io::Error) -> BindError {
    move |cause| {
        BindError::Unix(UnixError {
            action: "bind",
            addr: addr.clone(),
            cause,
        })
    }
}
