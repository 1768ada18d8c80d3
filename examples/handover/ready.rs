//! How a process tells the one that started it that it serves: as systemd wants
//! to be told (sd_notify(3)), by `READY=1` to the socket that `NOTIFY_SOCKET`
//! names. So this program can be a systemd service of `Type=notify`, too.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// Says that this process serves, if somebody wants to know.
pub(crate) fn say() -> io::Result<()> {
    match std::env::var_os(VARIABLE) {
        // A name that begins so is abstract, without a file, as systemd's may be.
        Some(path) if !path.as_encoded_bytes().starts_with(b"@") => {
            let socket = UnixDatagram::unbound()?;
            socket.send_to(READY, path).map(drop)
        }
        _ => Ok(()),
    }
}

/// Where a successor's word is waited for; the file goes when this does.
pub(crate) struct Listener {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Listener {
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("handover-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        // One of an earlier process with the same id, if any.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        Ok(Self { socket, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the word has come within this time.
    pub(crate) fn hears(&self, patience: Duration) -> io::Result<bool> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut word = [0; READY.len()];
        match self.socket.recv(&mut word) {
            Ok(len) => Ok(&word[..len] == READY),
            Err(error) if is_passing(error.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_passing(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

const READY: &[u8] = b"READY=1";
