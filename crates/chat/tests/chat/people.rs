//! The room, and whoever talks in it over a plain socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use crate::program::{PATIENCE, Program, uninterrupted};

/// A `chat_server` and its operator.
pub(crate) struct Room {
    pub(crate) server: Program,
    pub(crate) addr: SocketAddr,
}

impl Room {
    /// Opens a room on a free port.
    #[track_caller]
    pub(crate) fn open(args: &[&str]) -> Self {
        Self::open_at("127.0.0.1:0", args)
    }

    /// Opens a room at this address.
    #[track_caller]
    pub(crate) fn open_at(addr: &str, args: &[&str]) -> Self {
        let mut server = Program::example("chat_server", &[&[addr], args].concat());
        let line = server.stdout.line();
        let addr = line
            .strip_prefix("listening on ")
            .and_then(|addr| addr.parse().ok())
            .unwrap_or_else(|| panic!("the first line says where it listens, not {line:?}"));
        server.stdout.line_with("nc -u");
        Self { server, addr }
    }

    /// The operator types this line.
    #[track_caller]
    pub(crate) fn type_in(&mut self, line: &str) {
        self.server.type_in(&format!("{line}\n"));
    }

    /// The operator's next line is this one.
    #[track_caller]
    pub(crate) fn shows(&mut self, line: &str) {
        assert_eq!(self.server.stdout.line(), line, "on the operator's screen");
    }

    /// The operator's next line says that this one has joined.
    #[track_caller]
    pub(crate) fn shows_joined(&mut self, name: &str) {
        let line = self.server.stdout.line();
        assert!(
            line.starts_with(&format!("* {name} joined from ")),
            "{line}"
        );
    }

    /// The operator has been shown nothing more, and what was typed is done.
    #[track_caller]
    pub(crate) fn shows_nothing_more(&mut self) {
        self.type_in("@nobody hello?");
        self.shows("* nobody here is called nobody");
    }

    /// Waits until all datagrams sent so far are dealt with.
    #[track_caller]
    pub(crate) fn settle(&self) {
        let passer_by = Person::near(self.addr);
        passer_by.says("/ping");
        passer_by.hears("* /join NAME");
    }

    /// Presses Ctrl-C and waits for the end.
    #[track_caller]
    pub(crate) fn close(self) {
        self.server.interrupt();
        let end = self.server.end();
        assert!(end.status.success(), "{end:?}");
    }
}

/// Someone with a socket, and with `nc -u` before it: lines end with newlines.
pub(crate) struct Person {
    socket: UdpSocket,
}

impl Person {
    /// Someone who has said nothing yet.
    #[track_caller]
    pub(crate) fn near(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.connect(server).expect("the server's address");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout above zero");
        Self { socket }
    }

    /// Someone who has joined; all others are told.
    #[track_caller]
    pub(crate) fn join(room: &mut Room, name: &str, others: &[&Self]) -> Self {
        let person = Self::near(room.addr);
        person.joins(name);
        room.shows(&format!("* {name} joined from {}", person.addr()));
        for other in others {
            other.hears(&format!("* {name} joined"));
        }
        person
    }

    /// Asks for a seat, and sends back the answer as it says.
    #[track_caller]
    pub(crate) fn joins(&self, name: &str) {
        let ticket = self.asks_to_join(name);
        self.says(&ticket);
        self.hears(&format!("* you are {name} (/help lists the commands)"));
    }

    /// Asks for a seat; gives the line that would confirm the address.
    #[track_caller]
    pub(crate) fn asks_to_join(&self, name: &str) -> String {
        self.says(&format!("/join {name}"));
        let answer = self.reads();
        let ticket = answer
            .trim_start_matches("* ")
            .trim_start_matches("send ")
            .to_owned();
        let token = ticket
            .strip_prefix(&format!("/join {name} "))
            .unwrap_or_else(|| panic!("a ticket for {name}, not {answer:?}"));
        assert_eq!(token.len(), 11, "64 bits as letters: {answer:?}");
        ticket
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Sends a line, with its newline.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) {
        self.sends(format!("{line}\n").as_bytes());
    }

    /// Sends just these bytes.
    #[track_caller]
    pub(crate) fn sends(&self, bytes: &[u8]) {
        let sent = self.socket.send(bytes).expect("it can be sent");
        assert_eq!(sent, bytes.len());
    }

    /// Waits for the next datagram.
    #[track_caller]
    pub(crate) fn receives(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let len = uninterrupted(|| self.socket.recv(&mut buffer)).expect("a datagram in time");
        buffer[..len].to_vec()
    }

    /// Waits for the next line, which ends as this person's own do.
    #[track_caller]
    pub(crate) fn reads(&self) -> String {
        let line = String::from_utf8(self.receives()).expect("the server speaks UTF-8");
        let line = line.strip_suffix('\n').unwrap_or_else(|| {
            panic!("whoever ends lines with a newline is answered so, not {line:?}")
        });
        line.to_owned()
    }

    /// The next line is this one.
    #[track_caller]
    pub(crate) fn hears(&self, line: &str) {
        assert_eq!(self.reads(), line);
    }

    /// What lies unread.
    #[track_caller]
    pub(crate) fn unread(&self) -> Vec<Vec<u8>> {
        let set = |nonblocking| self.socket.set_nonblocking(nonblocking).expect("a mode");
        let mut buffer = [0; 2048];
        let mut unread = Vec::new();
        set(true);
        loop {
            match uninterrupted(|| self.socket.recv(&mut buffer)) {
                Ok(len) => unread.push(buffer[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("it cannot be received: {error}"),
            }
        }
        set(false);
        unread
    }

    /// Nothing lies unread. To be asked of a room that is [settled](Room::settle).
    #[track_caller]
    pub(crate) fn has_heard_all(&self) {
        let unread = self.unread();
        let lines: Vec<_> = unread.iter().map(|l| String::from_utf8_lossy(l)).collect();
        assert!(lines.is_empty(), "nothing more was meant for it: {lines:?}");
    }
}
