//! What the command line says.

use std::time::Duration;

use chat::room::Limits;
use chat::{options, wire};
use clap::Parser;
use clap::builder::RangedU64ValueParser;

/// Serves a chat room.
///
/// What is typed here goes to everyone; @NAME TEXT to one; /help lists the
/// rest. /quit or Ctrl-C ends the server; the end of the input does not.
///
/// Who has used up a share is told so, at a limited rate, and the room hears
/// nothing. A host is an IPv4 address, or an IPv6 /64.
#[derive(Parser)]
#[command(after_help = "In another terminal: \
    cargo run --release --example chat_client -- 127.0.0.1:8080 --name alice\n\
    or: nc -u 127.0.0.1 8080, then /join alice, then the line that the server answers with")]
pub(crate) struct Options {
    /// The address to listen on; port 0 takes any that is free.
    #[arg(default_value = wire::DEFAULT_ADDR)]
    pub(crate) addr: String,
    /// Seconds of silence after which a member is no longer one.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = options::seconds)]
    expire: Duration,
    /// Members that there may be from one host, of 256.
    #[arg(long, value_name = "N", default_value_t = Limits::default().members_per_host,
        value_parser = count::<usize>())]
    host_members: usize,
    /// Guests, who write without having joined, that are remembered from one
    /// host, of 64.
    #[arg(long, value_name = "N", default_value_t = Limits::default().guests_per_host,
        value_parser = count::<usize>())]
    host_guests: usize,
    /// Lines that a member may write at once, and again within every 10 seconds.
    #[arg(long, value_name = "N", default_value_t = Limits::default().member_lines,
        value_parser = count::<u32>())]
    member_lines: u32,
    /// The same for all members of a host together.
    #[arg(long, value_name = "N", default_value_t = Limits::default().host_lines,
        value_parser = count::<u32>())]
    host_lines: u32,
    /// Joins from one host at once, and again within every minute.
    #[arg(long, value_name = "N", default_value_t = Limits::default().host_joins,
        value_parser = count::<u32>())]
    host_joins: u32,
    /// Lines of guests from one host that are shown here at once, and again
    /// within every 10 seconds.
    #[arg(long, value_name = "N", default_value_t = Limits::default().guest_lines,
        value_parser = count::<u32>())]
    guest_lines: u32,
}

impl Options {
    /// What the room is to keep to.
    pub(crate) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            members_per_host: self.host_members,
            guests_per_host: self.host_guests,
            member_lines: self.member_lines,
            host_lines: self.host_lines,
            host_joins: self.host_joins,
            guest_lines: self.guest_lines,
            member_expiry: self.expire,
            guest_expiry: default.guest_expiry.max(self.expire),
            ..default
        }
    }
}

/// Reads a number from 1 to a million.
fn count<T: TryFrom<u64> + Clone + Send + Sync>() -> RangedU64ValueParser<T>
where
    <T as TryFrom<u64>>::Error: Send + Sync + std::error::Error + 'static,
{
    RangedU64ValueParser::new().range(1..=1_000_000)
}
