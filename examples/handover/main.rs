//! Hands its socket over to a successor while it is under load, and loses
//! nothing: how a server is upgraded without an interruption.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example handover
//! cargo run --release --example udp_load -- 127.0.0.1:8080 --expect any --duration 30s
//! ```
//! and in the first one, `next` and Enter: the process starts its successor on
//! the same socket, waits until that serves, answers what it has received, and
//! ends. What it has not received, the successor will: both have the same
//! queue. Every reply begins with the id of the process that sent it.
//!
//! If the successor ends before it has said that it serves, the process goes on
//! as before. If the process ends, the successor serves in its place.
//!
//! A successor has no terminal. Its own successor is called for with `kill -HUP`,
//! and `kill` ends it; both lines are printed.
//!
//! | room | what it does |
//! |---|---|
//! | `main` | serves, until it is told to end or to hand over |
//! | `orders` | hears signals and the terminal |
//! | `successor` | starts the next process, with the socket, and waits for it |
//! | `ready` | says and hears that a process serves |

#[cfg(unix)]
mod orders;
#[cfg(unix)]
mod ready;
#[cfg(unix)]
mod successor;

use std::error::Error;
#[cfg(unix)]
use std::io;
use std::process::ExitCode;

use clap::Parser;

/// A UDP server that hands its socket over to a successor without losing a datagram.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve on; a successor takes the socket that it is passed
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// How long each answer takes, in microseconds: so that there always are some
    /// that were asked for and not sent yet
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    work: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("handover ({}): {error}", std::process::id());
            ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    use std::os::fd::AsFd;

    use orders::{Order, Orders};

    // Asked now, while it is true: when the program is replaced by its next
    // version, the path stays.
    let program = std::env::current_exe()?;
    // Before anything else opens descriptors: a socket that was passed is known
    // by its number alone.
    let server = open(options)?;
    let orders = Orders::listen()?;
    // It keeps the socket open, and its queue, until the successor has it.
    let socket = server.as_fd().try_clone_to_owned()?;
    let running = server.spawn();
    let addr = running.local_addr();
    let pid = std::process::id();
    tell(
        io::stdout(),
        format_args!("serving {addr}; kill -HUP {pid} hands over, kill {pid} ends it"),
    );
    ready::say();
    loop {
        match orders.next() {
            Order::End => break,
            Order::HandOver => match successor::start(&program, options, &socket) {
                Ok(pid) => {
                    tell(io::stdout(), format_args!("{pid} serves now"));
                    break;
                }
                // Nothing has changed: the socket is still served here.
                Err(error) => tell(io::stderr(), format_args!("not handed over: {error}")),
            },
        }
    }
    let stats = running.stop()?.stats;
    tell(
        io::stdout(),
        format_args!(
            "ended, {} handled, {} replies sent",
            stats.handled, stats.replies.sent
        ),
    );
    Ok(())
}

/// A server on the socket that this process was passed, or else on its own.
#[cfg(unix)]
fn open(options: &Options) -> Result<socketserver::ThreadingUdpServer, socketserver::BindError> {
    use socketserver::{HandlerError, SocketHandle, ThreadingUdpServer};
    use std::net::SocketAddr;

    let pid = std::process::id();
    let work = std::time::Duration::from_micros(options.work.into());
    let answer = move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
        if !work.is_zero() {
            std::thread::sleep(work);
        }
        let reply = [pid.to_string().as_bytes(), b" ", bytes].concat();
        Ok::<_, HandlerError>(socket.reply(&reply)?)
    };
    match socketserver::activated_sockets()?.udp.pop() {
        Some(passed) => ThreadingUdpServer::from_socket(passed.socket, move || answer),
        None => ThreadingUdpServer::bind_fn(&options.addr, answer),
    }
}

/// Writes a line that begins with this process's id. Whoever read the output may
/// have ended: `println!` would panic, and end a process that serves.
#[cfg(unix)]
fn tell(mut output: impl io::Write, text: impl std::fmt::Display) {
    let _ = writeln!(output, "{}: {text}", std::process::id());
}

#[cfg(not(unix))]
fn run(_options: &Options) -> Result<(), Box<dyn Error>> {
    Err("descriptors are passed to another program on Unix only".into())
}
