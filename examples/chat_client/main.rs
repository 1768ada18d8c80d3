//! A chat client: joins the room of the `chat_server` example under a name,
//! shows what others say above the line that is being typed, and stays in touch
//! when datagrams get lost or the server is restarted.
//!
//! ```text
//! cargo run --release --example chat_server -- 127.0.0.1:8080
//! cargo run --release --example chat_client -- 127.0.0.1:8080 --name 客户端1
//! ```
use std::net::UdpSocket;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use chat::console::{Console, Input};
use chat::event::Event;
use chat::name::Name;
use chat::session::{self, Effect, Effects, Session, Timing};
use chat::{network, options, wire};
use clap::Parser;

/// Joins a chat room.
///
/// What is typed goes to everyone there; `@NAME TEXT` to one; /help lists the
/// rest. /quit, Ctrl-D or Ctrl-C leaves.
#[derive(Parser)]
#[command(
    after_help = "In another terminal: cargo run --release --example chat_server -- 127.0.0.1:8080"
)]
struct Options {
    /// The server's address.
    #[arg(default_value = wire::DEFAULT_ADDR)]
    addr: String,
    /// What to be called: 1 to 32 characters without spaces and colons.
    #[arg(long)]
    name: String,
    /// Seconds between signs of life; fewer than the server's --expire.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = options::seconds)]
    keep_alive: Duration,
    /// Seconds after which to give up if the server does not let us in.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = options::seconds)]
    join_timeout: Duration,
    /// Seconds to wait for answers when the input, no terminal, has ended.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = options::seconds)]
    grace: Duration,
}

fn main() -> ExitCode {
    env_logger::init();
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("chat_client: {complaint}");
            ExitCode::FAILURE
        }
    }
}

/// Sets everything up, chats, and clears up.
fn run(options: Options) -> Result<(), String> {
    let name = Name::parse(&options.name).map_err(|error| error.to_string())?;
    let complain = |error| format!("cannot reach {}: {error}", options.addr);
    let server = network::resolve(&options.addr).map_err(complain)?;
    let socket = Arc::new(network::connect(server).map_err(complain)?);
    let mut console = Console::open().map_err(|error| format!("no console: {error}"))?;

    let (sender, events) = mpsc::sync_channel(QUEUE_EVENTS);
    let signals = sender.clone();
    // When the receiver is gone, the program is ending as it is.
    ctrlc::set_handler(move || drop(signals.send(Event::Interrupted)))
        .map_err(|error| format!("cannot handle Ctrl-C: {error}"))?;
    let (incoming, arrivals) = (Arc::clone(&socket), sender.clone());
    thread::Builder::new()
        .name("network".into())
        .spawn(move || network::receive(&incoming, &arrivals))
        .map_err(|error| format!("cannot start a thread: {error}"))?;

    let timing = Timing {
        join_timeout: options.join_timeout,
        keep_alive: options.keep_alive,
        grace: if console.is_interactive() {
            Duration::ZERO
        } else {
            options.grace
        },
    };
    console.screen().show(format!(
        "* joining {server} as {name}; the server, in another terminal:"
    ));
    console.screen().show(format!(
        "* cargo run --release --example chat_server -- {server}"
    ));
    let (session, effects) = Session::start(Instant::now(), server, name, timing);
    let result = chat(session, effects, &socket, &mut console, &sender, &events);
    console.close();
    result
}

/// Carries out what the session wants, and tells it what happens, until it
/// ends.
fn chat(
    mut session: Session,
    mut effects: Effects,
    socket: &UdpSocket,
    console: &mut Console,
    keyboard: &SyncSender<Event>,
    events: &Receiver<Event>,
) -> Result<(), String> {
    let screen = console.screen();
    loop {
        let mut failures = Effects::new();
        for effect in effects {
            match effect {
                Effect::Send(line) => {
                    if let Err(error) = network::send(socket, &line) {
                        failures.extend(session.on_unreachable(Instant::now(), &error.to_string()));
                    }
                }
                Effect::Show(line) => screen.show(line),
                Effect::Listen => listen(console, keyboard.clone())?,
                Effect::End(result) => return result,
            }
        }
        effects = if failures.is_empty() {
            next(&mut session, events)
        } else {
            failures
        };
    }
}

/// Waits for what happens next, and asks the session what to do about it.
fn next(session: &mut Session, events: &Receiver<Event>) -> Effects {
    let wait = session
        .deadline()
        .map(|at| at.saturating_duration_since(Instant::now()));
    let event = match wait {
        Some(wait) => events.recv_timeout(wait),
        None => events.recv().map_err(RecvTimeoutError::from),
    };
    let now = Instant::now();
    match event {
        Ok(Event::Datagram(bytes)) => session.on_datagram(now, &bytes),
        Ok(Event::Unreachable(reason)) => session.on_unreachable(now, &reason),
        Ok(Event::Line(line)) => session.on_line(now, &line),
        Ok(Event::EndOfInput) => session.on_end_of_input(now),
        Ok(Event::Interrupted) => session.on_interrupt(now),
        Err(RecvTimeoutError::Timeout) => session.on_tick(now),
        Err(RecvTimeoutError::Disconnected) => {
            vec![Effect::End(Err("nothing can happen any more".to_owned()))]
        }
    }
}

/// Starts reading the keyboard.
fn listen(console: &mut Console, events: SyncSender<Event>) -> Result<(), String> {
    let on_input = move |input| {
        let (event, last) = match input {
            Input::Line(line) => {
                // No new prompt after the last line.
                let last = session::is_quit(&line);
                (Event::Line(line), last)
            }
            Input::Closed => (Event::EndOfInput, true),
            Input::Interrupted => (Event::Interrupted, true),
        };
        match events.send(event) {
            Ok(()) if !last => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    console
        .listen(on_input)
        .map_err(|error| format!("cannot read the keyboard: {error}"))
}

/// How many events may wait; then whoever brings more waits too, and the kernel
/// keeps the datagrams.
const QUEUE_EVENTS: usize = 64;
