//! Sends each line as one datagram and prints the reply.
//!
//! Two terminals:
//! ```text
//! cargo run --release --example uppercase_echo
//! cargo run --release --example echo_client
//! ```
//! or a pipe, which prints one reply per line and no prompt:
//! ```text
//! printf 'a\nb\n' | cargo run --release --example echo_client
//! ```
//!
//! UDP may lose a question or its reply, so the client never waits for ever: it
//! says that no reply came, and goes on. The reply may still come, and nothing
//! in it tells which line it answers. So after a timeout the client goes on from
//! a new socket, with a new port: what comes late goes to the old port, where
//! nobody is. A second reply to one line is read, told and dropped before the
//! next line is sent.

use std::error::Error;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

/// Sends each line to a UDP server and prints the reply.
///
/// Reads a terminal or a pipe. The exit code is 0, or 1 if a line of a pipe got
/// no reply.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The server's address
    #[arg(default_value = DEFAULT_SERVER)]
    addr: String,
    /// How long to wait for each reply
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,
}

const DEFAULT_SERVER: &str = "127.0.0.1:8080";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 0.001 and 86400".to_owned())
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks until there are no more lines; whether each had its reply, as far as a
/// pipe has to know.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let server = resolve(&options.addr).map_err(|error| format!("{}: {error}", options.addr))?;
    let client = Client::new(server, options.timeout)?;
    let mut start_the_server = "cargo run --release --example uppercase_echo".to_owned();
    if options.addr != DEFAULT_SERVER {
        start_the_server += &format!(" -- {server}");
    }
    let asking = format!("asking {server}; a server, in another terminal: {start_the_server}");
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        println!("{asking}\nCtrl-D ends it");
        // The terminal's line may be half written.
        ctrlc::set_handler(|| {
            println!();
            std::process::exit(0);
        })?;
        ask_all(client, ">>>:")?;
        println!();
        Ok(true)
    } else {
        eprintln!("{asking}");
        ask_all(client, "")
    }
}

/// Asks each line of stdin; whether each had its reply.
fn ask_all(mut client: Client, prompt: &str) -> Result<bool, Box<dyn Error>> {
    let mut all_answered = true;
    let mut lines = io::stdin().lock().split(b'\n');
    loop {
        print!("{prompt}");
        io::stdout().flush()?;
        let Some(line) = lines.next() else {
            return Ok(all_answered);
        };
        let outcome = match String::from_utf8(line?) {
            Ok(line) => client.ask(&line),
            Err(_) => Err("not sent: the line is not UTF-8".to_owned()),
        };
        match &outcome {
            Ok(reply) => writeln!(io::stdout(), "{reply}")?,
            Err(reason) => eprintln!("{reason}"),
        }
        all_answered &= outcome.is_ok();
    }
}

fn resolve(addr: &str) -> io::Result<SocketAddr> {
    let server = addr
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the name has no address"))?;
    if server.port() == 0 {
        let problem = "port 0 is nobody's";
        return Err(io::Error::new(ErrorKind::InvalidInput, problem));
    }
    Ok(server)
}

/// One conversation, a question at a time.
struct Client {
    server: SocketAddr,
    timeout: Duration,
    /// Connected: only the server's datagrams come in, and the news that nobody
    /// is there.
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Client {
    fn new(server: SocketAddr, timeout: Duration) -> io::Result<Self> {
        Ok(Self {
            server,
            timeout,
            socket: connect(server)?,
            buffer: vec![0; LARGEST_DATAGRAM],
        })
    }

    /// Sends the stripped line and waits for the reply, or says why there is none.
    fn ask(&mut self, line: &str) -> Result<String, String> {
        self.exchange(line.trim().as_bytes())
            .map(|len| printable(&String::from_utf8_lossy(&self.buffer[..len])))
            .map_err(|error| match error.kind() {
                ErrorKind::TimedOut => format!(
                    "no reply within {:?}; if it comes later it is dropped",
                    self.timeout
                ),
                ErrorKind::ConnectionRefused => format!("nobody listens on {}", self.server),
                _ => format!("no reply from {}: {error}", self.server),
            })
    }

    fn exchange(&mut self, question: &[u8]) -> io::Result<usize> {
        self.drop_leftovers()?;
        self.socket.send(question)?;
        let reply = self.receive();
        if let Err(error) = &reply {
            if error.kind() == ErrorKind::TimedOut {
                self.socket = connect(self.server)?;
            }
        }
        reply
    }

    fn receive(&mut self) -> io::Result<usize> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut self.buffer) {
                Ok(len) => return Ok(len),
                // A signal, or the time is up: the clock knows.
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Empties the socket of what belongs to lines that are done with.
    fn drop_leftovers(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        loop {
            match self.socket.recv(&mut self.buffer) {
                Ok(len) => eprintln!("dropped another reply to an earlier line, {len} bytes"),
                // Told already, or about a datagram that had its reply.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) => break,
            }
        }
        self.socket.set_nonblocking(false)
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
    )
}

/// A socket on a port of its own that hears the server alone.
fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match server {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(server)?;
    Ok(socket)
}

/// Shows control characters escaped: a reply can neither steer the terminal nor
/// look like two lines.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// The UDP length field has 16 bits (RFC 768).
const LARGEST_DATAGRAM: usize = 65_535;
