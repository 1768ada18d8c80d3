//! The terminal's modes, kept and given back.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// How the terminal was set. A line editor switches echo and line ends off, and
/// switches them on again only when its line is finished; a program that ends
/// in the middle of a line must do that itself.
///
/// # Platform notes
/// The standard library cannot set terminal modes; POSIX `stty` can. Where it
/// is missing, nothing is saved.
pub struct TerminalModes(String);

impl TerminalModes {
    /// Notes the modes of the terminal at standard input.
    pub fn save() -> Option<Self> {
        let output = stty("-g")
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let modes = String::from_utf8(output.stdout).ok()?;
        Some(Self(modes.trim().to_owned()))
    }

    /// Sets them again, and leaves the unfinished line.
    pub fn restore(&self) {
        match stty(&self.0).status() {
            Ok(status) if status.success() => {}
            Ok(status) => log::warn!("the terminal's modes are not restored: stty: {status}"),
            Err(error) => log::warn!("the terminal's modes are not restored: stty: {error}"),
        }
        let mut stdout = io::stdout().lock();
        // If it cannot be shown, there is nobody to tell.
        let _ = stdout
            .write_all(END_BRACKETED_PASTE)
            .and_then(|()| stdout.flush());
    }
}

/// Prepares `stty`, which acts on its standard input.
fn stty(argument: &str) -> Command {
    let mut command = Command::new("stty");
    command
        .arg(argument)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null());
    command
}

/// Switches off the marks around pasted text, and begins a new line.
const END_BRACKETED_PASTE: &[u8] = b"\x1b[?2004l\n";
