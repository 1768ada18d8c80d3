//! A client that asks, and is answered by the process that handled it.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

pub(crate) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port on loopback");
        socket.connect(server).expect("loopback");
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).expect("not zero");
        Self { socket }
    }

    /// Asks, and does not wait for an answer.
    pub(crate) fn tell(&self, text: &str) {
        self.socket.send(text.as_bytes()).expect("loopback");
    }

    pub(crate) fn answer(&self) -> Option<String> {
        let mut buffer = [0; 2_048];
        let len = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    pub(crate) fn answer_within(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).expect("not zero");
        let answer = self.answer();
        let patience = Some(Duration::from_secs(10));
        self.socket.set_read_timeout(patience).expect("not zero");
        answer
    }

    #[track_caller]
    pub(crate) fn ask(&self, text: &str) -> String {
        self.tell(text);
        self.answer().expect("an answer")
    }

    /// Asks for so long as it takes to hear from `count` processes.
    pub(crate) fn hear_from(&self, count: usize) -> HashSet<u32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut pids = HashSet::new();
        while pids.len() < count {
            assert!(Instant::now() < deadline, "heard of {pids:?}");
            for _ in 0..count {
                self.tell("nap");
            }
            let answers = (0..count).filter_map(|_| self.answer());
            pids.extend(answers.filter_map(|pid| pid.parse::<u32>().ok()));
        }
        pids
    }
}
