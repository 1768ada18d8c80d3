//! Starts the next process of this program, on the same socket.

use std::error::Error;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};

use crate::Options;
use crate::ready::{self, Listener};

/// Starts `program` as the successor, passes it `socket` as a service manager
/// would, and waits until it serves. Returns its process id.
///
/// One that ends or takes too long is got rid of.
pub(crate) fn start(
    program: &Path,
    options: &Options,
    socket: &OwnedFd,
) -> Result<u32, Box<dyn Error>> {
    let listener = Listener::new()?;
    let mut child = Unproven(Some(spawn(program, options, socket, &listener)?));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let serves = listener.hears(LOOK)?;
        if let Some(status) = child.process().try_wait()? {
            return Err(format!("the successor ended: {status}").into());
        }
        if serves {
            return Ok(child.keep());
        }
        if Instant::now() > deadline {
            return Err(format!("the successor does not serve within {PATIENCE:?}").into());
        }
    }
}

fn spawn(
    program: &Path,
    options: &Options,
    socket: &OwnedFd,
    listener: &Listener,
) -> Result<Child, Box<dyn Error>> {
    let passed = FdMapping {
        parent_fd: socket.try_clone()?,
        child_fd: FIRST_DESCRIPTOR,
    };
    let mut command = Command::new("sh");
    command
        // `LISTEN_PID` has to be the successor's, which nobody knows before it
        // is there: the shell says its own, and becomes the successor.
        .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""])
        .arg(program)
        .args([&options.addr, "--work", &options.work.to_string()])
        .env("LISTEN_FDS", "1")
        .env_remove("LISTEN_FDNAMES")
        .env(ready::PREDECESSOR, listener.path())
        // The terminal goes back to the shell with the first process; reading
        // from it would stop the successor.
        .stdin(Stdio::null())
        .fd_mappings(vec![passed])?;
    Ok(command.spawn()?)
}

/// A successor that has not said yet that it serves; killed when dropped.
struct Unproven(Option<Child>);

impl Unproven {
    fn process(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is kept once, at the end")
    }

    fn keep(mut self) -> u32 {
        self.0.take().expect("it is kept once").id()
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// sd_listen_fds(3): behind standard input, output and error.
const FIRST_DESCRIPTOR: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether the successor still runs.
const LOOK: Duration = Duration::from_millis(100);
