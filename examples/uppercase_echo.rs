//! Answers every datagram with its text in upper case.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example uppercase_echo
//! nc -u 127.0.0.1 8080
//! ```

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use socketserver::{
    DatagramHandler, Error, ForkingStyleUdpServer, HandlerError, Isolation, ServeError, Server,
    ServerHandle, ShutdownReport, SocketHandle, ThreadingUdpServer, activated_sockets,
};

/// A UDP server that answers every datagram with its text in upper case.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The address to serve on; port 0 takes any free port. A socket that the service manager
    /// passed is served instead
    #[arg(default_value = "127.0.0.1:8080")]
    addr: String,
    /// Handle each datagram with a fresh handler instance
    #[arg(long)]
    forking: bool,
    /// With --forking, handle them in processes: a handler may crash. Linux
    #[arg(long, requires = "forking")]
    processes: bool,
    /// How many worker threads; with --forking, the most handlers at the same time
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Do not log the messages
    #[arg(long)]
    quiet: bool,
}

/// Upper-cases ASCII and everything else that Unicode knows an upper case of.
struct UppercaseEcho {
    quiet: bool,
    /// Kept between datagrams, so that a reply need not be allocated.
    reply: Vec<u8>,
}

impl UppercaseEcho {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            reply: Vec::new(),
        }
    }
}

impl DatagramHandler for UppercaseEcho {
    fn handle(
        &mut self,
        bytes: &[u8],
        addr: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        if !self.quiet {
            let start = &bytes[..bytes.len().min(MOST_LOGGED)];
            let rest = if start.len() < bytes.len() {
                " …"
            } else {
                ""
            };
            let text = String::from_utf8_lossy(start);
            log::info!("{addr}: {} bytes, {text:?}{rest}", bytes.len());
        }
        self.reply.clear();
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_ascii() => {
                for char in text.chars().flat_map(char::to_uppercase) {
                    let mut utf8 = [0; 4];
                    self.reply
                        .extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
                }
            }
            // Upper-casing ASCII leaves all other bytes alone.
            _ => {
                self.reply.extend_from_slice(bytes);
                self.reply.make_ascii_uppercase();
            }
        }
        Ok(socket.reply(&self.reply)?)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match serve(&options) {
        Ok(report) => {
            // Nobody may read it any more.
            let _ = writeln!(io::stdout(), "{}", report.stats.table());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("uppercase_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<ShutdownReport, Error> {
    let quiet = options.quiet;
    let factory = move || UppercaseEcho::new(quiet);
    // By systemd's socket activation; otherwise there are none.
    let passed = activated_sockets()?.udp.into_iter().next();
    let passed = passed.map(|activated| activated.socket);
    if options.forking {
        let mut builder = ForkingStyleUdpServer::builder();
        if let Some(most) = options.workers {
            builder = builder.max_children(most);
        }
        if options.processes {
            builder = builder.isolation(Isolation::Process);
        }
        let server = match passed {
            Some(socket) => builder.from_socket(socket, factory)?,
            None => builder.bind(&options.addr, factory)?,
        };
        if options.processes {
            // It listens for Ctrl-C itself, and can have no thread beside it that does.
            invite(server.local_addr());
            return Ok(server.serve_forever()?);
        }
        Ok(run(server)?)
    } else {
        let mut builder = ThreadingUdpServer::builder();
        if let Some(count) = options.workers {
            builder = builder.workers(count);
        }
        Ok(run(match passed {
            Some(socket) => builder.from_socket(socket, factory)?,
            None => builder.bind(&options.addr, factory)?,
        })?)
    }
}

fn run(server: impl Server) -> Result<ShutdownReport, ServeError> {
    announce(server.handle());
    server.serve_forever()
}

/// Ends the server on Ctrl-C, and says where it listens and what to type.
fn announce(server: ServerHandle) {
    let addr = server.local_addr();
    // First of all: whoever reads the lines below may press Ctrl-C at once.
    if let Err(error) = ctrlc::set_handler(move || server.shutdown()) {
        eprintln!("Ctrl-C will end it at once, without stats: {error}");
    }
    invite(addr);
}

/// Says where the server listens and what to type.
fn invite(addr: SocketAddr) {
    let client = reachable(addr);
    println!("listening on {addr}");
    println!(
        "in another terminal: nc -u {} {}",
        host(client),
        addr.port()
    );
    println!("or: cargo run --release --example echo_client -- {client}");
    println!("Ctrl-C ends it");
}

/// Where a client on this machine finds a server bound to `addr`: nobody can
/// send to a wildcard on every system.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// The address without its port, as command lines take it: with the zone that
/// a link-local IPv6 address needs.
fn host(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => addr.ip().to_string(),
    }
}

/// Bytes of a datagram in the log: the longest would fill the screen.
const MOST_LOGGED: usize = 100;
