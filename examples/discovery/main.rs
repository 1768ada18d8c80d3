//! Servers that are found by asking a multicast group, and the client that asks.
//!
//! Three terminals:
//! ```text
//! cargo run --release --example discovery -- serve printer --service 631
//! cargo run --release --example discovery -- serve scanner --service 6566
//! cargo run --release --example discovery -- find
//! ```
//!
//! Without `--interface` all stay on the loopback interface. With it, say
//! `--interface eth0` on both sides, the servers are found from any host of that
//! network, and by IPv6, too: `--group '[ff12::4655]:7085'`.
//!
//! The servers of one host share the port of the question: each is given its
//! own copy of what is sent to the group. That is why an answer tells the port
//! of the service, and why nothing else is served on the shared port.
//!
//! | room | what it does |
//! |---|---|
//! | `wire` | the question and the answer, as bytes |
//! | `serve` | answers |
//! | `find` | asks and lists who answers |

mod find;
mod serve;
mod wire;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use socketserver::Interface;

/// Finds servers by asking a multicast group.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer whoever asks the group
    Serve {
        /// What is found
        #[arg(value_parser = wire::name)]
        name: String,
        /// The port at which it is found
        #[arg(long, value_name = "PORT", default_value_t = 8080)]
        service: u16,
        #[command(flatten)]
        place: Place,
    },
    /// Ask the group and list who answers; the exit code is 1 if nobody does
    Find {
        /// How long to wait for answers
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
        wait: Duration,
        #[command(flatten)]
        place: Place,
    },
}

/// Where servers and clients meet.
#[derive(Debug, Args)]
struct Place {
    /// The group and its port, IPv4 or IPv6
    #[arg(long, value_name = "ADDRESS", default_value = "239.255.70.85:7085")]
    group: SocketAddr,
    /// The network interface, by name; without, the loopback interface
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

impl Place {
    /// The interface to join on and to ask on.
    fn interface(&self) -> Result<Interface, Box<dyn Error>> {
        match (&self.interface, self.group.ip()) {
            (Some(name), _) => Ok(Interface::Name(name.clone())),
            (None, IpAddr::V4(_)) => Ok(Interface::Address(Ipv4Addr::LOCALHOST)),
            (None, IpAddr::V6(_)) => {
                Err("IPv6 groups need an --interface: loopback may not carry them".into())
            }
        }
    }

    /// All addresses of this host, of the group's family.
    fn wildcard(&self) -> IpAddr {
        match self.group.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=3_600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("not between 0.001 and 3600".to_owned())
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    env_logger::init();
    let ended = match &options.command {
        Command::Serve {
            name,
            service,
            place,
        } => serve::run(name, *service, place).map(|()| true),
        Command::Find { wait, place } => find::run(*wait, place),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("discovery: {error}");
            ExitCode::FAILURE
        }
    }
}
