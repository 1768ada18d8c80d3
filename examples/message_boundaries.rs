//! Shows that UDP keeps message boundaries: what one `send` sent is what one
//! call of the handler gets, neither merged nor split; a datagram can be empty;
//! and one that is longer than the server takes is never passed off as whole.
//!
//! ```text
//! cargo run --release --example message_boundaries
//! ```
//!
//! Server and client run in this one process. It ends by itself, with exit code
//! 1 if anything was not as told.

use std::error::Error;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Parser;
use socketserver::{OnTruncated, Refusal, RunningServer, ShutdownReport, ThreadingUdpServer};

/// Shows that UDP keeps message boundaries, and checks it on the way.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let Options {} = Options::parse();
    match whole_datagrams()
        .and_then(|()| too_long(OnTruncated::Refuse))
        .and_then(|()| too_long(OnTruncated::Deliver))
    {
        Ok(()) => {
            println!("\nall as told");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("message_boundaries: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Three times `baby~`, then emptiness, then the largest datagram there is.
fn whole_datagrams() -> Outcome {
    println!("A server with room for {LARGEST} bytes, and a client that sends b\"baby~\" 3 times:");
    let (server, arrivals) = Arrival::serve(LARGEST, OnTruncated::Refuse)?;
    let client = client_of(&server)?;
    for _ in 0..3 {
        client.send(b"baby~")?;
    }
    for nth in 1..=3 {
        let arrival = arrivals.recv_timeout(DEADLINE)?;
        check(
            arrival.is(b"baby~"),
            format!("datagram {nth}: {arrival}, not a byte more, though there was room"),
        )?;
    }

    println!("The client sends nothing, twice:");
    for nth in 1..=2 {
        client.send(b"")?;
        let arrival = arrivals.recv_timeout(DEADLINE)?;
        check(arrival.is(b""), format!("empty datagram {nth}: {arrival}"))?;
    }

    println!("The client sends {LARGEST} bytes at once:");
    let large: Vec<u8> = (0..LARGEST).map(|index| index as u8).collect();
    client.send(&large)?;
    let arrival = arrivals.recv_timeout(DEADLINE)?;
    check(
        arrival.is(&large),
        format!("one datagram: {} bytes, in one piece", arrival.bytes.len()),
    )?;

    let report = server.stop()?;
    let stats = report.stats;
    check(
        stats.received == 6 && stats.handled == 6,
        "6 sent, 6 received, 6 handled: the empty ones count like any other",
    )?;
    print_stats(&report);
    Ok(())
}

/// 100 bytes to a server that takes 16, then 16.
fn too_long(policy: OnTruncated) -> Outcome {
    println!("\nA server that takes 16 bytes ({policy:?}), and a client that sends 100, then 16:");
    let (server, arrivals) = Arrival::serve(16, policy)?;
    let client = client_of(&server)?;
    let (long, short) = ([b'x'; 100], [b'y'; 16]);
    client.send(&long)?;
    client.send(&short)?;

    if policy == OnTruncated::Deliver {
        let arrival = arrivals.recv_timeout(DEADLINE)?;
        check(
            arrival.truncated && arrival.bytes == long[..16],
            format!("the long one: {arrival}: is_truncated() tells the handler"),
        )?;
    }
    let arrival = arrivals.recv_timeout(DEADLINE)?;
    check(arrival.is(&short), format!("the short one: {arrival}"))?;

    let stats = server.stop()?.stats;
    if policy == OnTruncated::Refuse {
        check(
            stats.received == 2 && stats.refused.by(Refusal::Truncated) == 1 && stats.handled == 1,
            "the long one: refused, counted, never shown to the handler",
        )?;
    } else {
        check(
            stats.received == 2 && stats.handled == 2,
            "2 sent, 2 received, 2 handled",
        )?;
    }
    Ok(())
}

/// What one call of the handler was given.
struct Arrival {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Arrival {
    /// A server whose handler tells what it was given, in the order received:
    /// with one worker there is no other.
    fn serve(
        max_packet_size: usize,
        policy: OnTruncated,
    ) -> Result<(RunningServer, Receiver<Self>), socketserver::Error> {
        let (sender, arrivals) = mpsc::channel();
        let server = ThreadingUdpServer::builder()
            .workers(1)
            .max_packet_size(max_packet_size)
            .on_truncated(policy)
            .bind_fn("127.0.0.1:0", move |bytes, _addr, socket| {
                sender.send(Self {
                    bytes: bytes.to_vec(),
                    truncated: socket.is_truncated(),
                })?;
                Ok(())
            })?;
        Ok((server.spawn(), arrivals))
    }

    /// Whether it is exactly this, whole.
    fn is(&self, bytes: &[u8]) -> bool {
        !self.truncated && self.bytes == bytes
    }
}

impl std::fmt::Display for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = if self.truncated { "the first " } else { "" };
        let text = String::from_utf8_lossy(&self.bytes);
        write!(f, "{whole}{} bytes, {text:?}", self.bytes.len())
    }
}

fn client_of(server: &RunningServer) -> std::io::Result<UdpSocket> {
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.local_addr())?;
    Ok(client)
}

/// Prints the claim if it holds, and fails with it if not.
fn check(holds: bool, claim: impl std::fmt::Display) -> Outcome {
    if !holds {
        return Err(format!("this does not hold: {claim}").into());
    }
    println!("  {claim}");
    Ok(())
}

fn print_stats(report: &ShutdownReport) {
    for line in report.stats.table().to_string().lines() {
        println!("    {line}");
    }
}

/// The most that fits into a datagram over IPv4, in bytes.
const LARGEST: usize = 65_507;

/// On the loopback interface a datagram takes microseconds.
const DEADLINE: Duration = Duration::from_secs(5);
