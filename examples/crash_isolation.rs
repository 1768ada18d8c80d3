//! A handler that does on request what no handler should, and a client that measures
//! that nobody else notices. Linux.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example crash_isolation
//! cargo run --release --example crash_isolation -- --client 127.0.0.1:8080
//! ```

use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::process::{ExitCode, abort, exit};
use std::time::{Duration, Instant};

use clap::Parser;
use socketserver::{Error, ForkingStyleUdpServer, HandlerError, Isolation, SocketHandle};

/// Handlers that crash, each in a process that it does not share while it does.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve on, or with --client the server's
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// Ask a server for everything, and count normal answers meanwhile
    #[arg(long)]
    client: bool,
    /// How long the client asks, in seconds
    #[arg(long, value_name = "S", default_value_t = 5)]
    seconds: u64,
    /// How many processes
    #[arg(long, value_name = "N", default_value_t = 8)]
    children: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let ended = match options.client {
        true => ask(&options),
        false => serve(&options).map_err(io::Error::from),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash_isolation: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C, which the server itself listens for.
fn serve(options: &Options) -> Result<(), Error> {
    let server = ForkingStyleUdpServer::builder()
        .isolation(Isolation::Process)
        .max_children(options.children)
        .max_requests_per_child(100_000)
        .child_timeout(Duration::from_secs(1))
        .on_child_exit(|child| log::debug!("{}: {}", child.pid, child.end))
        .bind_fn(&options.addr, obey)?;
    println!("listening on {}", server.local_addr());
    let report = server.serve_forever()?;
    println!("{}", report.stats.table());
    Ok(())
}

fn obey(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    match bytes.trim_ascii() {
        b"abort" => abort(),
        b"exit" => exit(1),
        b"segv" => segv(),
        b"loop" => loop {
            black_box(());
        },
        b"leak" => std::mem::forget(black_box(vec![1_u8; 1 << 20])),
        b"panic" => panic!("as it was asked to"),
        b"overflow" => drop(black_box(deeper(1)).to_string()),
        _ => {}
    }
    Ok(socket.reply(bytes)?)
}

/// What a bug in a C library does.
fn segv() {
    // SAFETY: it is not: nothing is there to write to, and that ends the process.
    unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 512]);
    deeper(depth + 1) + room[7]
}

/// Asks for a crash every few milliseconds, and for a normal answer all the time.
fn ask(options: &Options) -> io::Result<()> {
    let client = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&options.addr)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(socket)
    };
    let (normal, vandal) = (client()?, client()?);
    let (mut asked, mut answered, mut crashes, mut slowest) = (0_u64, 0_u64, 0, Duration::ZERO);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let (mut next, mut ways) = (Instant::now(), WAYS.iter().cycle());
    while Instant::now() < end {
        if Instant::now() >= next {
            vandal.send(ways.next().expect("it goes round").as_bytes())?;
            crashes += 1;
            next += PAUSE;
        }
        let began = Instant::now();
        normal.send(&asked.to_be_bytes())?;
        asked += 1;
        let mut answer = [0; 8];
        match normal.recv(&mut answer) {
            Ok(_) => answered += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        slowest = slowest.max(began.elapsed());
    }
    println!("{crashes} crashes, loops and leaks were asked for");
    println!(
        "normal answers lost: {} of {asked}; the slowest took {slowest:?}",
        asked - answered
    );
    match asked == answered {
        true => Ok(()),
        false => Err(io::Error::other("a normal answer was lost")),
    }
}

const WAYS: [&str; 13] = [
    "abort", "segv", "exit", "panic", "leak", "overflow", "abort", "segv", "exit", "leak", "abort",
    "overflow", "loop",
];
/// A loop keeps a child for a second: fewer come in that time than there are children.
const PAUSE: Duration = Duration::from_millis(25);
