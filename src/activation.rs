//! Sockets that whoever started this process opened for it.

use std::env;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::error::BindError;
use crate::sys::{self, Inherited};

/// What this process was started with: see [`activated_sockets`].
///
/// Each is known by its name and by its index, the place in which it was given,
/// counted from 0: descriptor 3 is 0.
///
/// # Examples
/// ```
/// let mut activated = socketserver::activated_sockets()?;
/// // Of `ListenDatagram=53` with `FileDescriptorName=dns`.
/// let udp = activated.take("dns");
/// # #[cfg(unix)]
/// // Of `ListenStream=53` in the same unit.
/// let tcp = activated.take_other("dns").map(std::net::TcpListener::from);
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ActivatedSockets {
    /// The UDP sockets, in the order in which they were given.
    pub udp: Vec<ActivatedSocket>,
    /// All else, in that order: TCP listeners, Unix sockets, pipes.
    #[cfg(unix)]
    pub others: Vec<ActivatedDescriptor>,
}

/// A UDP socket that this process was started with.
///
/// # Examples
/// ```
/// for activated in socketserver::activated_sockets()?.udp {
///     println!("{:?}: {:?}", activated.name, activated.socket.local_addr());
/// }
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ActivatedSocket {
    /// Its place among all that was given, from 0.
    pub index: usize,
    /// What it is called: for systemd the socket unit's `FileDescriptorName=`,
    /// or the unit. `None` if no names were given.
    pub name: Option<String>,
    /// The socket, bound, and not inherited by children of this process.
    pub socket: UdpSocket,
}

/// Anything else that this process was started with.
///
/// # Examples
/// ```
/// # #[cfg(unix)]
/// for other in socketserver::activated_sockets()?.others {
///     let listener = std::net::TcpListener::from(other.descriptor);
/// }
/// # Ok::<(), socketserver::Error>(())
/// ```
#[cfg(unix)]
#[derive(Debug)]
#[non_exhaustive]
pub struct ActivatedDescriptor {
    /// Its place among all that was given, from 0.
    pub index: usize,
    /// What it is called, as for an [`ActivatedSocket`].
    pub name: Option<String>,
    /// The descriptor, not inherited by children of this process: `TcpListener`,
    /// `UnixDatagram` and others are made of it by `from`.
    pub descriptor: std::os::fd::OwnedFd,
}

impl ActivatedSockets {
    /// Whether nothing (or nothing more) was given.
    ///
    /// # Examples
    /// ```
    /// assert!(socketserver::activated_sockets()?.is_empty(), "it was run by hand");
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        #[cfg(unix)]
        let has_others = !self.others.is_empty();
        #[cfg(not(unix))]
        let has_others = false;
        self.udp.is_empty() && !has_others
    }

    /// Takes the first UDP socket of this name out.
    ///
    /// # Examples
    /// ```
    /// let dns = socketserver::activated_sockets()?.take("dns");
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn take(&mut self, name: &str) -> Option<UdpSocket> {
        let is_called_so = |one: &ActivatedSocket| one.name.as_deref() == Some(name);
        let place = self.udp.iter().position(is_called_so)?;
        Some(self.udp.remove(place).socket)
    }

    /// Takes the UDP socket out that was given in this place, counted from 0 over
    /// all that was given. `None` if that is no UDP socket.
    ///
    /// # Examples
    /// ```
    /// let first = socketserver::activated_sockets()?.take_at(0);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    pub fn take_at(&mut self, index: usize) -> Option<UdpSocket> {
        let place = self.udp.iter().position(|one| one.index == index)?;
        Some(self.udp.remove(place).socket)
    }

    /// Takes the first descriptor of this name out that is no UDP socket.
    ///
    /// # Examples
    /// ```
    /// let control = socketserver::activated_sockets()?.take_other("control");
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[cfg(unix)]
    pub fn take_other(&mut self, name: &str) -> Option<std::os::fd::OwnedFd> {
        let is_called_so = |one: &ActivatedDescriptor| one.name.as_deref() == Some(name);
        let place = self.others.iter().position(is_called_so)?;
        Some(self.others.remove(place).descriptor)
    }

    /// Takes the first Unix datagram socket of this name out, as
    /// [`from_socket`](crate::ThreadingUnixDatagramServer::from_socket) takes it.
    ///
    /// # Examples
    /// ```
    /// // Of `ListenDatagram=/run/app.sock` with `FileDescriptorName=app`.
    /// let unix = socketserver::activated_sockets()?.take_unix("app");
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[cfg(unix)]
    pub fn take_unix(&mut self, name: &str) -> Option<std::os::unix::net::UnixDatagram> {
        let place = self.others.iter().position(|one| {
            one.name.as_deref() == Some(name) && sys::is_unix_datagram(&one.descriptor)
        })?;
        Some(self.others.remove(place).descriptor.into())
    }

    /// Takes the descriptor out that was given in this place. `None` if that is a
    /// UDP socket.
    ///
    /// # Examples
    /// ```
    /// let second = socketserver::activated_sockets()?.take_other_at(1);
    /// # Ok::<(), socketserver::Error>(())
    /// ```
    #[cfg(unix)]
    pub fn take_other_at(&mut self, index: usize) -> Option<std::os::fd::OwnedFd> {
        let place = self.others.iter().position(|one| one.index == index)?;
        Some(self.others.remove(place).descriptor)
    }
}

/// What this process was started with, by systemd's socket activation or whoever
/// keeps to its protocol (sd_listen_fds(3)): UDP sockets, and all else for the
/// program to use, in whatever order they were given.
///
/// Nothing is there if nothing is for this process: `LISTEN_PID` or `LISTEN_FDS` is
/// not set, or the former names another process. UDP sockets have to be bound, of
/// IPv4 or IPv6 and not connected, as
/// [`from_socket`](crate::ThreadingUdpServer::from_socket) takes them; each is
/// served by a server of its own.
///
/// Call it before anything else in the program opens descriptors: the sockets
/// are known by their numbers alone, 3 and up, and whatever is open there is
/// taken for them.
///
/// The environment stays as it is. Children inherit the variables, but neither
/// the sockets nor the process id that these were meant for. Only the first
/// call takes the sockets.
///
/// # Errors
/// [`BindError::Activation`] if the variables make no sense, or if an earlier call
/// took the sockets. [`BindError::Inherited`] for the first descriptor that is not
/// open, or is a UDP socket that cannot be served; what was taken before it is
/// closed, it and those behind it are left as they are.
///
/// # Platform notes
/// Elsewhere than on Unix, sockets for this process are a [`BindError::Inherited`]
/// of the kind [`Unsupported`](std::io::ErrorKind::Unsupported).
///
/// # Examples
/// ```no_run
/// use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};
/// use std::net::SocketAddr;
///
/// fn echo(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
///     Ok(socket.reply(bytes)?)
/// }
///
/// let server = match socketserver::activated_sockets()?.udp.pop() {
///     Some(activated) => ThreadingUdpServer::from_socket(activated.socket, || echo)?,
///     None => ThreadingUdpServer::bind_fn("127.0.0.1:8080", echo)?,
/// };
/// server.serve_forever()?;
/// # Ok::<(), socketserver::Error>(())
/// ```
#[doc(alias("LISTEN_FDS", "sd_listen_fds"))]
pub fn activated_sockets() -> Result<ActivatedSockets, BindError> {
    let mut activated = ActivatedSockets::default();
    let names = passed(std::process::id(), variable)?;
    if names.is_empty() {
        return Ok(activated);
    }
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Relaxed) {
        return Err(activation(FDS, "an earlier call took these sockets"));
    }
    for ((index, name), descriptor) in names.into_iter().enumerate().zip(FIRST_DESCRIPTOR..) {
        let inherited = sys::take_inherited(descriptor)
            .map_err(|cause| BindError::Inherited { descriptor, cause })?;
        match inherited {
            Inherited::Udp(socket) => activated.udp.push(ActivatedSocket {
                index,
                name,
                socket,
            }),
            #[cfg(unix)]
            Inherited::Other(descriptor) => activated.others.push(ActivatedDescriptor {
                index,
                name,
                descriptor,
            }),
        }
    }
    Ok(activated)
}

/// The names of what the variables pass to the process `own_pid`; descriptors
/// count up from 3.
fn passed(
    own_pid: u32,
    variable: impl Fn(&'static str) -> Result<Option<String>, BindError>,
) -> Result<Vec<Option<String>>, BindError> {
    let Some(pid) = variable(PID)? else {
        return Ok(Vec::new());
    };
    match number::<u32>(&pid) {
        Some(pid) if pid == own_pid => {}
        Some(_) => return Ok(Vec::new()),
        None => return Err(activation(PID, format!("{pid:?} is no process id"))),
    }
    let Some(count) = variable(FDS)? else {
        return Ok(Vec::new());
    };
    let count = match number::<usize>(&count) {
        Some(sane) if (1..=MOST_DESCRIPTORS).contains(&sane) => sane,
        _ => {
            let problem = format!("{count:?} is not between 1 and {MOST_DESCRIPTORS}");
            return Err(activation(FDS, problem));
        }
    };
    let Some(names) = variable(NAMES)? else {
        return Ok(vec![None; count]);
    };
    let names: Vec<_> = names.split(':').map(|name| Some(name.to_owned())).collect();
    if names.len() != count {
        let problem = format!("{} names for {count} sockets", names.len());
        return Err(activation(NAMES, problem));
    }
    Ok(names)
}

fn variable(name: &'static str) -> Result<Option<String>, BindError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(activation(name, "it is not text")),
    }
}

/// A number as systemd reads it: digits, without a sign.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn activation(variable: &'static str, problem: impl Into<String>) -> BindError {
    BindError::Activation {
        variable,
        problem: problem.into(),
    }
}

const PID: &str = "LISTEN_PID";
const FDS: &str = "LISTEN_FDS";
const NAMES: &str = "LISTEN_FDNAMES";

/// `SD_LISTEN_FDS_START`: behind standard input, output and error.
const FIRST_DESCRIPTOR: i32 = 3;
/// Linux's own limit for a process (`fs.nr_open`), unless it is raised.
const MOST_DESCRIPTORS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// What process 7 reads.
    fn read(variables: &[(&str, &str)]) -> Result<Vec<Option<String>>, String> {
        let look_up = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        passed(7, look_up).map_err(|error| error.to_string())
    }

    fn names<const N: usize>(names: [Option<&str>; N]) -> Result<Vec<Option<String>>, String> {
        Ok(names.map(|name| name.map(str::to_owned)).into())
    }

    #[test]
    fn what_is_not_for_this_process_is_nothing() {
        for variables in [
            &[][..],
            &[(FDS, "1")],
            &[(PID, "8"), (FDS, "1")],
            &[(PID, "8"), (FDS, "nonsense")],
            &[(PID, "7")],
        ] {
            assert_eq!(read(variables), names([]), "{variables:?}");
        }
    }

    #[test]
    fn sockets_come_with_their_names_or_without() {
        let two = [(PID, "7"), (FDS, "2")];
        assert_eq!(read(&two), names([None, None]));
        let [pid, fds] = two;
        assert_eq!(
            read(&[pid, fds, (NAMES, "dns:")]),
            names([Some("dns"), Some("")])
        );
    }

    #[test]
    fn nonsense_is_refused_by_the_variables_name() {
        let pid = (PID, "7");
        for (variables, problem) in [
            (&[(PID, "me")][..], "LISTEN_PID: \"me\" is no process id"),
            (&[(PID, "+7")], "LISTEN_PID: \"+7\" is no process id"),
            (
                &[pid, (FDS, "+1")],
                "LISTEN_FDS: \"+1\" is not between 1 and 1048576",
            ),
            (&[(PID, "")], "LISTEN_PID: \"\" is no process id"),
            (
                &[pid, (FDS, "0")],
                "LISTEN_FDS: \"0\" is not between 1 and 1048576",
            ),
            (
                &[pid, (FDS, "-1")],
                "LISTEN_FDS: \"-1\" is not between 1 and 1048576",
            ),
            (
                &[pid, (FDS, "1048577")],
                "LISTEN_FDS: \"1048577\" is not between 1 and 1048576",
            ),
            (
                &[pid, (FDS, "2"), (NAMES, "one")],
                "LISTEN_FDNAMES: 1 names for 2 sockets",
            ),
        ] {
            assert_eq!(read(variables), Err(problem.to_owned()));
        }
    }
}
