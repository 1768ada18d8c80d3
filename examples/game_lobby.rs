//! The lobby of a game: players join, move and leave, and twenty times a second all of
//! them are told where everybody is.
//!
//! Three terminals:
//! ```text
//! cargo run --release --example game_lobby
//! nc -u 127.0.0.1 8080        # then: join Ada, move 3 4, leave
//! nc -u 127.0.0.1 8080        # then: join Ben, ...
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use socketserver::{
    EndReason, Error, HandlerError, Peer, PerPeer, Session, SocketHandle, ThreadingUdpServer,
};

/// A lobby: "join NAME", "move X Y" and "leave" are what it understands.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve on; port 0 takes any free port
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// After how many seconds of silence a player has left
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    idle: f64,
}

/// Who is where.
struct Player {
    name: String,
    x: i32,
    y: i32,
}

/// All players, for all sessions and the tick.
#[derive(Clone, Default)]
struct Lobby(Arc<Mutex<Players>>);

type Players = BTreeMap<SocketAddr, Player>;

impl Lobby {
    fn players(&self) -> MutexGuard<'_, Players> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line for each: "Ada 3 4".
    fn state(&self) -> String {
        let line = |Player { name, x, y }: &Player| format!("{name} {x} {y}\n");
        self.players().values().map(line).collect()
    }
}

/// What a player says.
enum Move {
    Join(String),
    To(i32, i32),
    Leave,
}

impl Move {
    fn of(bytes: &[u8]) -> Option<Self> {
        let words: Vec<_> = std::str::from_utf8(bytes)
            .ok()?
            .split_whitespace()
            .collect();
        match words[..] {
            ["join", name] if name.len() <= LONGEST_NAME => Some(Self::Join(name.to_owned())),
            ["move", x, y] => Some(Self::To(x.parse().ok()?, y.parse().ok()?)),
            ["leave"] => Some(Self::Leave),
            _ => None,
        }
    }
}

/// Whether to make a session: for who joins. Others are told how.
fn admit(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> bool {
    let joins = matches!(Move::of(bytes), Some(Move::Join(_)));
    if !joins {
        if let Err(error) = socket.reply(HELP) {
            log::debug!("{error}");
        }
    }
    joins
}

/// One peer's place in the lobby, which is free again when this is dropped.
struct Place {
    addr: SocketAddr,
    lobby: Lobby,
}

impl Session for Place {
    fn handle(
        &mut self,
        bytes: &[u8],
        peer: &Peer,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        match Move::of(bytes) {
            Some(Move::Join(name)) => {
                let player = Player { name, x: 0, y: 0 };
                self.lobby.players().insert(self.addr, player);
            }
            Some(Move::To(x, y)) => {
                if let Some(player) = self.lobby.players().get_mut(&self.addr) {
                    (player.x, player.y) = (x, y);
                }
            }
            Some(Move::Leave) => drop(peer.end()),
            None => socket.reply(HELP)?,
        }
        Ok(())
    }

    fn end(&mut self, peer: &Peer, reason: EndReason) {
        log::info!("{} leaves: {reason}", peer.addr());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lobby.players().remove(&self.addr);
    }
}

fn serve(options: &Options) -> Result<(), Error> {
    let lobby = Lobby::default();
    let seen = lobby.clone();
    let sessions = PerPeer::new(move |peer| Place {
        addr: peer.addr(),
        lobby: lobby.clone(),
    })
    .max_peers(MOST_PLAYERS)
    .idle_after(Duration::try_from_secs_f64(options.idle).unwrap_or(Duration::MAX))
    .admit(admit);
    let players = sessions.peers();
    let server = ThreadingUdpServer::builder()
        .poll_interval(TICK)
        .service_actions(move |_| {
            if let Err(error) = players.send_to_all(seen.state().as_bytes()) {
                log::debug!("{error}");
            }
        })
        .bind(&options.addr, sessions)?;
    let handle = server.handle();
    if let Err(error) = ctrlc::set_handler(move || handle.shutdown()) {
        eprintln!("Ctrl-C will end it at once: {error}");
    }
    println!("listening on {}", server.local_addr());
    server.serve_forever()?;
    Ok(())
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("game_lobby: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Twenty times a second.
const TICK: Duration = Duration::from_millis(50);
/// All of them fit into one datagram that no network cuts into parts.
const MOST_PLAYERS: usize = 32;
const LONGEST_NAME: usize = 12;
/// For who says anything else.
const HELP: &[u8] = b"? join NAME | move X Y | leave\n";
