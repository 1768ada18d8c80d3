//! Two players in `game_lobby`.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::program::Program;

struct Player(UdpSocket);

impl Player {
    fn of(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(addr).expect("an address");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    fn say(&self, text: &str) {
        self.0.send(text.as_bytes()).expect("loopback sends");
    }

    /// Reads states until one is this.
    #[track_caller]
    fn expect(&self, state: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut bytes = [0; 2_048];
            let len = self
                .0
                .recv(&mut bytes)
                .expect("the state comes all the time");
            let text = String::from_utf8_lossy(&bytes[..len]);
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            if lines == state {
                return;
            }
            assert!(Instant::now() < deadline, "{state:?} never came: {text:?}");
        }
    }
}

#[test]
fn players_see_each_other_move_and_who_is_gone_disappears() {
    let mut lobby = Program::example("game_lobby", &["127.0.0.1:0"]);
    let addr = lobby.listening();
    let (ada, ben) = (Player::of(addr), Player::of(addr));
    for mistake in ["hello", "join", "join a_much_longer_name"] {
        ada.say(mistake);
        ada.expect(&["? join NAME | move X Y | leave"]);
    }
    ada.say("join Ada");
    ada.expect(&["Ada 0 0"]);
    ada.say("jump");
    ada.expect(&["? join NAME | move X Y | leave"]);
    ben.say("join Ben");
    ada.expect(&["Ada 0 0", "Ben 0 0"]);
    ben.say("move 3 -4");
    for player in [&ada, &ben] {
        player.expect(&["Ada 0 0", "Ben 3 -4"]);
    }
    ben.say("leave");
    ada.expect(&["Ada 0 0"]);
    lobby.interrupt();
    let end = lobby.end();
    assert!(end.status.success(), "{end:?}");
    let left = |reason| {
        end.stderr
            .iter()
            .filter(|line| line.ends_with(reason))
            .count()
    };
    assert_eq!(left("leaves: as requested"), 1, "{end:?}");
    assert_eq!(left("leaves: the server shuts down"), 1, "{end:?}");
}

#[test]
fn who_is_silent_has_left() {
    let mut lobby = Program::example("game_lobby", &["127.0.0.1:0", "--idle", "0.3"]);
    let addr = lobby.listening();
    let (ada, ben) = (Player::of(addr), Player::of(addr));
    ben.say("join Ben");
    ben.expect(&["Ben 0 0"]);
    let deadline = Instant::now() + PATIENCE;
    ada.say("join Ada");
    let alone = |bytes: &[u8]| bytes == b"Ada 1 1\n";
    loop {
        ada.say("move 1 1");
        let mut bytes = [0; 2_048];
        let len = ada
            .0
            .recv(&mut bytes)
            .expect("the state comes all the time");
        if alone(&bytes[..len]) {
            break;
        }
        assert!(Instant::now() < deadline, "Ben stays for ever");
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
