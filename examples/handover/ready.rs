//! How a process tells those who started it that it serves: as systemd wants to
//! be told (sd_notify(3)), by `READY=1`, and by `MAINPID=`, as a successor is the
//! service's main process from then on. So this program can be a systemd service
//! of `Type=notify` and `NotifyAccess=all`, too. The process that hands over is
//! told the same.

use std::ffi::OsStr;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

/// Where a service manager wants to be told.
const MANAGER: &str = "NOTIFY_SOCKET";
/// Where the process that hands over wants to be told.
pub(crate) const PREDECESSOR: &str = "HANDOVER_NOTIFY_SOCKET";

/// Says that this process serves, to whoever wants to know: the service manager
/// first, which has to know its new main process before the old one ends.
///
/// A failure is reported and nothing more. The process that hands over may have
/// died; then this one is all that is left to serve.
pub(crate) fn say() {
    for name in [MANAGER, PREDECESSOR] {
        let Some(listener) = env::var_os(name) else {
            continue;
        };
        if let Err(error) = say_to(&listener) {
            let text = format_args!("{name} cannot be told ({error}); it is served all the same");
            crate::tell(io::stderr(), text);
        }
        if name == PREDECESSOR {
            // A process that was killed has left it behind.
            let _ = fs::remove_file(&listener);
        }
    }
}

fn say_to(listener: &OsStr) -> io::Result<()> {
    let word = format!("{READY}\nMAINPID={}", std::process::id());
    let listener = address(listener.as_encoded_bytes())?;
    UnixDatagram::unbound()?.send_to_addr(word.as_bytes(), &listener)?;
    Ok(())
}

/// A path, or behind an `@` an abstract name, without a file, as systemd's may be.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt;

    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(OsStr::from_bytes(name))
}

/// Where a successor's word is waited for; the file goes when this does.
pub(crate) struct Listener {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Listener {
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("handover-{}.sock", std::process::id());
        let path = env::temp_dir().join(name);
        // One of an earlier process with the same id, if any.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the word has come within this time.
    pub(crate) fn hears(&self, patience: Duration) -> io::Result<bool> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut word = [0; 256];
        match self.socket.recv(&mut word) {
            Ok(len) => {
                let mut lines = word[..len].split(|byte| *byte == b'\n');
                Ok(lines.any(|line| line == READY.as_bytes()))
            }
            Err(error) if is_passing(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

const READY: &str = "READY=1";
