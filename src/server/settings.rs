//! The options' values, with their defaults and limits.

use std::fmt::Debug;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::admission::GuardSettings;
use super::details::Details;
use super::dispatch::Lifetime;
use super::isolation::Isolation;
use super::multicast::Multicast;
use super::sending::Sending;
use crate::engine::Order;
use crate::error::{BindError, ConfigError};
use crate::logging::Unlogged;
use crate::sys;

/// What happens to a datagram longer than `max_packet_size`.
///
/// # Examples
/// ```
/// use socketserver::{OnTruncated, ThreadingUdpServer};
///
/// let builder = ThreadingUdpServer::builder().on_truncated(OnTruncated::Deliver);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnTruncated {
    /// It is counted as refused and logged at `warn`, at a limited rate: a
    /// handler that does not look would take a part for the whole. The default.
    #[default]
    Refuse,
    /// Its beginning is handled; [`SocketHandle::is_truncated`](crate::SocketHandle::is_truncated) says so.
    Deliver,
}

/// Values of all options.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) workers: RangeInclusive<usize>,
    /// The option that set `workers`, for the error.
    pub(crate) workers_option: &'static str,
    pub(crate) max_packet_size: usize,
    /// What that may be at most.
    pub(crate) largest_packet: usize,
    pub(crate) on_truncated: OnTruncated,
    pub(crate) shed_older_than: Option<Duration>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) batch_size: usize,
    pub(crate) coalesce_replies: bool,
    pub(crate) coalesce_receives: bool,
    pub(crate) shards: usize,
    pub(crate) order: Option<Order>,
    pub(crate) max_deferred: usize,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: Option<bool>,
    pub(crate) before_bind: sys::BeforeBind,
    pub(crate) poll_interval: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) thread_name: String,
    pub(crate) stack_size: Option<usize>,
    pub(crate) multicast: Multicast,
    pub(crate) details: Details,
    pub(crate) sending: Sending,
    pub(crate) guards: GuardSettings,
    pub(crate) fresh_instance: bool,
    pub(crate) isolation: Isolation,
    pub(crate) max_requests: Option<u64>,
    pub(crate) child_timeout: Option<Duration>,
    pub(crate) unlogged: Unlogged,
    #[cfg(unix)]
    pub(crate) unix: sys::UnixOptions,
}

/// How long datagrams are, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketSizes {
    pub(crate) default: usize,
    pub(crate) largest: usize,
}

impl PacketSizes {
    /// No datagram is longer: the UDP length field has 16 bits (RFC 768).
    pub(crate) const UDP: Self = Self {
        default: 65_535,
        largest: 65_535,
    };
    /// Linux's send buffer is so long unless it is asked for more
    /// (`net.core.wmem_default`), and its owner may have more.
    #[cfg(unix)]
    pub(crate) const UNIX: Self = Self {
        default: 212_992,
        largest: 16 << 20,
    };
}

impl Settings {
    /// The defaults, for at most `max_workers` workers.
    pub(crate) fn new(
        max_workers: usize,
        workers_option: &'static str,
        sizes: PacketSizes,
    ) -> Self {
        Self {
            workers: at_most(max_workers),
            workers_option,
            max_packet_size: sizes.default,
            largest_packet: sizes.largest,
            on_truncated: OnTruncated::default(),
            shed_older_than: None,
            receive_buffer: None,
            send_buffer: None,
            batch_size: 32,
            coalesce_replies: true,
            coalesce_receives: false,
            shards: 1,
            order: None,
            max_deferred: 65_536,
            reuse_address: false,
            reuse_port: false,
            only_v6: None,
            before_bind: sys::BeforeBind::default(),
            poll_interval: Duration::from_millis(500),
            drain_timeout: Duration::from_secs(10),
            thread_name: "socketserver".to_owned(),
            stack_size: None,
            multicast: Multicast::default(),
            details: Details::default(),
            sending: Sending::default(),
            guards: GuardSettings::default(),
            fresh_instance: false,
            isolation: Isolation::default(),
            max_requests: None,
            child_timeout: None,
            unlogged: Unlogged::default(),
            #[cfg(unix)]
            unix: sys::UnixOptions::default(),
        }
    }

    /// Refuses what makes no sense, naming the option.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (min, max) = (*self.workers.start(), *self.workers.end());
        let workers = self.workers_option;
        let refuse = |is_nonsense: bool, option, problem: &str| match is_nonsense {
            true => Err(ConfigError::new(option, problem)),
            false => Ok(()),
        };
        let range = |option, value: usize, most: usize, unit: &str| {
            let problem = format!("{value} is not between 1 and {most} {unit}");
            refuse(!(1..=most).contains(&value), option, &problem)
        };
        let nobody = min == 0 || max == 0;
        refuse(nobody, workers, "0 workers cannot serve; at least 1")?;
        let problem = format!("the minimum {min} is above the maximum {max}");
        refuse(min > max, workers, &problem)?;
        range(workers, max, MOST_WORKERS, "workers")?;
        let shards = self.shards;
        range("shards", shards, MOST_SHARDS, "sockets")?;
        let problem = format!("{shards} sockets need as many workers; {workers} allows {max}");
        refuse(shards > max, "shards", &problem)?;
        let problem = "this system does not spread peers over several sockets";
        refuse(shards > 1 && !sys::Socket::SHARDS, "shards", problem)?;
        let packet = self.max_packet_size;
        range("max_packet_size", packet, self.largest_packet, "bytes")?;
        range("batch_size", self.batch_size, LARGEST_BATCH, "datagrams")?;
        range("max_deferred", self.max_deferred, MOST_DEFERRED, "answers")?;
        for (option, size, most) in [
            ("receive_buffer", self.receive_buffer, LARGEST_BUFFER),
            ("send_buffer", self.send_buffer, LARGEST_BUFFER),
            ("stack_size", self.stack_size, LARGEST_STACK),
        ] {
            size.map_or(Ok(()), |size| range(option, size, most, "bytes"))?;
        }
        let no_age = self.shed_older_than.is_some_and(|age| age.is_zero());
        let problem = "with an age of 0 every datagram is too old";
        refuse(no_age, "shed_older_than", problem)?;
        let no_stamps = self.shed_older_than.is_some() && !sys::Socket::STAMPS;
        let problem = "this system does not tell when a datagram was received";
        refuse(no_stamps, "shed_older_than", problem)?;
        let problem = "less than a millisecond between two calls leaves no time for anything else";
        refuse(self.poll_interval < SHORTEST_POLL, "poll_interval", problem)?;
        let no_device = self.before_bind.device.as_deref() == Some("");
        refuse(no_device, "device", "an interface without a name")?;
        let problem = "a thread's name cannot contain a zero byte";
        refuse(self.thread_name.contains('\0'), "thread_name", problem)?;
        self.check_isolation()?;
        self.multicast.check()?;
        self.sending.check()?;
        self.guards.check()
    }

    /// Refuses so many addresses at once, if somebody could not wait at each socket.
    pub(crate) fn check_sockets(&self, addresses: usize) -> Result<(), ConfigError> {
        let (sockets, max) = (addresses * self.shards, *self.workers.end());
        let workers = self.workers_option;
        let problem = if addresses == 0 {
            "there is no address to bind".to_owned()
        } else if sockets > 1 && self.isolation == Isolation::Process {
            "not with Isolation::Process: a process blocks at one socket".to_owned()
        } else if sockets > MOST_SHARDS {
            format!("{sockets} is not between 1 and {MOST_SHARDS} sockets")
        } else if sockets > max {
            format!("{sockets} sockets need as many workers; {workers} allows {max}")
        } else {
            return Ok(());
        };
        Err(ConfigError::new("bind_all", problem))
    }

    /// How long handler instances live on a server that keeps them for `usual`.
    pub(crate) fn lifetime(&self, usual: Lifetime) -> Lifetime {
        match self.fresh_instance {
            true => Lifetime::Datagram,
            false => usual,
        }
    }

    /// The addresses to bind: the first that can be bound will be.
    pub(crate) fn resolve(
        &self,
        given: impl ToSocketAddrs + Debug,
    ) -> Result<Vec<SocketAddr>, BindError> {
        let mut addresses = look_up(&given)?;
        if self.only_v6 == Some(true) {
            addresses.retain(SocketAddr::is_ipv6);
            if addresses.is_empty() {
                let problem = format!("{given:?} is not an IPv6 address");
                return Err(ConfigError::new("only_v6", problem).into());
            }
        }
        Ok(addresses)
    }

    /// Refuses options that only a socket not yet bound can follow.
    pub(crate) fn check_taken_over(&self) -> Result<(), ConfigError> {
        let options = [
            ("allow_reuse_address", self.reuse_address),
            ("allow_reuse_port", self.reuse_port),
            ("only_v6", self.only_v6.is_some()),
            ("shards", self.shards > 1),
        ];
        let set = options.into_iter().find(|(_, is_set)| *is_set);
        let set = set.map(|(option, _)| option);
        let set = set.or_else(|| self.before_bind.asked().next());
        let problem = "a socket that is bound already cannot be set up any more";
        set.map_or(Ok(()), |option| Err(ConfigError::new(option, problem)))
    }

    /// The same for a Unix socket.
    #[cfg(unix)]
    pub(crate) fn check_unix_taken_over(&self) -> Result<(), ConfigError> {
        let options = [
            ("replace_stale_socket", self.unix.replace_stale),
            ("socket_mode", self.unix.mode.is_some()),
        ];
        let set = options.into_iter().find(|(_, is_set)| *is_set);
        let problem = "the file of a socket that is bound already is not this server's";
        set.map_or(Ok(()), |(option, _)| Err(ConfigError::new(option, problem)))
    }

    /// What is asked of a socket that the server opens.
    pub(crate) fn socket_options(&self) -> sys::Options {
        sys::Options {
            receive_buffer: self.receive_buffer.or(Some(DEFAULT_RECEIVE_BUFFER)),
            ..self.taken_over_options()
        }
    }

    /// What is asked of a socket that was handed in: only what was said.
    pub(crate) fn taken_over_options(&self) -> sys::Options {
        sys::Options {
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            reuse_address: self.reuse_address,
            reuse_port: self.reuse_port,
            only_v6: self.only_v6,
            before_bind: self.before_bind.clone(),
        }
    }
}

/// The addresses that this stands for: one at least.
pub(crate) fn look_up(given: &(impl ToSocketAddrs + Debug)) -> Result<Vec<SocketAddr>, BindError> {
    let addr = || format!("{given:?}");
    let addresses = given
        .to_socket_addrs()
        .map_err(|cause| BindError::Resolve {
            addr: addr(),
            cause,
        })?;
    let addresses: Vec<_> = addresses.collect();
    match addresses.is_empty() {
        true => Err(BindError::NoAddress { addr: addr() }),
        false => Ok(addresses),
    }
}

/// So many workers at most, and at least one for each processor if that is less.
pub(crate) fn at_most(workers: usize) -> RangeInclusive<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(workers)..=workers
}

/// Linux's `UIO_MAXIOV`: what one `recvmmsg(2)` takes.
/// A hundred bytes each, and what users keep for them.
const MOST_DEFERRED: usize = 1 << 24;
const LARGEST_BATCH: usize = 1024;
const MOST_WORKERS: usize = 65_536;
/// More than any machine has processors to serve them with.
const MOST_SHARDS: usize = 1_024;
/// `SO_RCVBUF` and `SO_SNDBUF` are a C `int`, which Linux doubles.
const LARGEST_BUFFER: usize = (i32::MAX / 2) as usize;
/// For the hook that is called again and again.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

const LARGEST_STACK: usize = 1 << 40;
/// Holds about 10,000 small datagrams on Linux, whose own default holds 256.
const DEFAULT_RECEIVE_BUFFER: usize = 4 << 20;
/// Linux lets one host whose address is not known yet hold 208 KiB of it
/// (`unres_qlen_bytes`, arp(7)), which is all of its own default.
pub(crate) const DEFAULT_SEND_BUFFER: usize = 4 << 20;
