//! `chat_client` on a terminal: a pseudo-terminal, of which the test holds the
//! other end.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use nix::pty::openpty;

use crate::people::{Person, Room};
use crate::program::{PATIENCE, example_path};

/// A client whose screen and keyboard are a terminal; killed when dropped.
struct Terminal {
    client: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Starts a client, and waits until it takes what is typed.
    #[track_caller]
    fn joined(room: &mut Room, name: &str) -> Self {
        let ends = openpty(None, None).expect("a pseudo-terminal");
        let far = || ends.slave.try_clone().expect("a descriptor");
        let client = Command::new(example_path("chat_client"))
            .args([&room.addr.to_string(), "--name", name])
            .env("TERM", "xterm")
            .stdin(far())
            .stdout(far())
            .stderr(far())
            .spawn()
            .expect("it is built");
        drop(ends.slave);
        let keyboard = File::from(ends.master);
        let mut near = keyboard.try_clone().expect("a descriptor");
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once nobody has the other end any more.
            while let Ok(len @ 1..) = near.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self {
            client,
            keyboard,
            screen,
        };
        terminal.shows(">>>:");
        room.shows_joined(name);
        terminal
    }

    /// Waits until this has been written to the screen.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while !seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.screen.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|error| panic!("no {text:?} ({error}): {seen:?}"));
            seen += &String::from_utf8_lossy(&bytes);
        }
    }

    /// Types this, all at once.
    #[track_caller]
    fn types(&mut self, text: &str) {
        let typed = self.keyboard.write_all(text.as_bytes());
        typed.expect("the terminal takes it");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn lines_that_come_in_one_burst_are_all_sent() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let mut terminal = Terminal::joined(&mut room, "alice");
    bob.hears("* alice joined");
    terminal.types("one\rtwo\rthree\r");
    for line in ["one", "two", "three"] {
        bob.hears(&format!("alice: {line}"));
    }
}

#[test]
fn lines_that_are_pasted_as_such_are_sent_one_by_one() {
    let mut room = Room::open(&[]);
    let bob = Person::join(&mut room, "bob", &[]);
    let mut terminal = Terminal::joined(&mut room, "alice");
    bob.hears("* alice joined");
    terminal.types("\x1b[200~one\rtwo\rthree\x1b[201~\r");
    for line in ["one", "two", "three"] {
        bob.hears(&format!("alice: {line}"));
    }
}
