//! A chat room with an operator: whoever joins under a name talks to all
//! others, whoever just writes is answered by the person at this keyboard.
//!
//! ```text
//! cargo run --release --example chat_server -- 127.0.0.1:8080
//! cargo run --release --example chat_client -- 127.0.0.1:8080 --name alice
//! nc -u 127.0.0.1 8080
//! ```
//!
//! ```text
//!   datagram ──▶ ChatHandler ──▶ ┌──────┐ ──▶ lines to send ──▶ socket
//!   keyboard ──▶    Chat     ──▶ │ Room │
//!   clock    ──▶             ──▶ └──────┘ ──▶ lines to show ──▶ Screen
//! ```
//!
//! All that is chat is in `crates/chat`, without a socket in sight; that it is
//! served to many at once is the framework's business.
//!
//! As with all plain UDP, whoever can forge a member's address can speak in
//! that member's name, and whoever sees the datagrams can read them. What one
//! member or one host can make the room say is limited: `--help` lists by what.

mod handler;
mod options;

use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat::command::Command;
use chat::console::{Console, Input};
use chat::room::Room;
use chat::screen::Screen;
use clap::Parser;
use socketserver::{AmplificationLimit, ServerHandle, ThreadingUdpServer, activated_sockets};

use handler::{Chat, ChatHandler};
use options::Options;

fn main() -> ExitCode {
    env_logger::init();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sets everything up, serves until told to stop, and clears up.
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    // First, as these are known by their numbers: of systemd's socket activation.
    let passed = activated_sockets()?.udp.into_iter().next();
    let mut console = Console::open()?;
    let screen = console.screen();
    let chat = Arc::new(Chat::new(Room::new(options.limits()), screen.clone()));

    let (handled, timed) = (Arc::clone(&chat), Arc::clone(&chat));
    let builder = ThreadingUdpServer::builder()
        // The room is one, so more workers would only wait for each other; and
        // what one worker sends goes out in order, the same for all members.
        .workers(1)
        // Whoever forges an address cannot make this server flood it.
        .amplification_limit(AmplificationLimit::new().validity(PROOF_VALIDITY))
        .service_actions(move |_| timed.expire());
    let factory = move || ChatHandler::new(Arc::clone(&handled));
    let server = match passed {
        Some(activated) => builder.from_socket(activated.socket, factory)?,
        None => builder.bind(options.addr.as_str(), factory)?,
    };

    let stop = stop(Arc::clone(&chat), server.handle());
    ctrlc::set_handler(stop.clone())?;
    // From here on someone may rely on what is said.
    announce(&screen, server.local_addr());
    operate(&mut console, chat, stop)?;

    let report = server.serve_forever();
    console.close();
    writeln!(io::stdout(), "{}", report?.stats.table())?;
    Ok(())
}

/// Says where the server listens and how to get there.
fn announce(screen: &Screen, addr: SocketAddr) {
    let near = reachable(addr);
    screen.show(format!("listening on {addr}"));
    screen.show("* in another terminal:");
    screen.show(format!(
        "* cargo run --release --example chat_client -- {near} --name alice"
    ));
    screen.show(format!(
        "* nc -u {} {}  and there: /join bob",
        near.ip(),
        near.port()
    ));
}

/// Makes what ends the server, and tells the members first.
fn stop(chat: Arc<Chat>, server: ServerHandle) -> impl Fn() + Clone + Send + 'static {
    move || {
        chat.close();
        server.shutdown();
    }
}

/// Lets the person at the keyboard take part.
fn operate(
    console: &mut Console,
    chat: Arc<Chat>,
    stop: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let screen = console.screen();
    let interactive = console.is_interactive();
    console.listen(move |input| match input {
        Input::Line(line) if Command::parse(&line) != Command::Quit => {
            chat.on_operator_line(&line);
            ControlFlow::Continue(())
        }
        Input::Line(_) | Input::Interrupted => {
            stop();
            ControlFlow::Break(())
        }
        Input::Closed => {
            if interactive {
                screen.show("* the keyboard is closed, the room stays open; Ctrl-C ends it");
            }
            ControlFlow::Break(())
        }
    })
}

/// The address at which a server on this machine can be reached from it: one
/// that listens on all addresses listens on the loopback address too.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// After this long in the room, a member has to prove the address again.
const PROOF_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
