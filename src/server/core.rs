//! The life of a server: bound, serving, draining, closed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::admission::{Admission, GuardSettings, Guards, OwnAddresses, QueueLimit, Shedding};
use super::dispatch::{Dispatch, Dispatchers, Lifetime};
use super::handle::{ServerHandle, ShutdownReport};
use super::hooks::Hooks;
use super::kept;
use super::settings::{DEFAULT_SEND_BUFFER, Settings};
use crate::engine::{Engine, EngineConfig, Solo, SoloEnd, Upkeep};
use crate::error::Error;
use crate::guard::{Keys, ValidatedPeers};
use crate::handler::Factory;
use crate::logging::{LogLimit, log_debug, log_warn};
use crate::stats::SideCounts;
use crate::sys::{self, Socket};

/// A bound server. Both public servers are one of these with a style.
#[derive(Debug)]
pub(crate) struct Core {
    /// Let go when serving begins: from then on the engine alone closes it.
    socket: Option<Arc<Socket>>,
    engine: Arc<Engine>,
    hooks: Arc<Hooks>,
    counts: Arc<SideCounts>,
    proofs: Weak<ValidatedPeers>,
    guards: Weak<Guards>,
    poll_interval: Duration,
    dispatchers: Weak<Dispatchers>,
    /// What `handle_request` receives with.
    solo: Solo,
    /// For what it keeps between calls.
    key: kept::Key,
}

/// Where the socket comes from.
pub(crate) enum SocketSource {
    /// The first of these addresses that can be bound.
    Addresses(Vec<SocketAddr>),
    /// Handed in.
    Given(UdpSocket),
}

impl Core {
    /// Opens or takes over the socket, with settings that were checked; starts nothing.
    pub(crate) fn open(
        source: SocketSource,
        settings: Settings,
        hooks: Hooks,
        factory: Factory,
        lifetime: Lifetime,
    ) -> Result<Self, Error> {
        let (sockets, asked) = open_sockets(source, &settings)?;
        let socket = Arc::clone(&sockets[0]);
        let addr = socket.local_addr();
        warn_of_small_buffer(&socket, asked);
        let hooks = Arc::new(hooks);
        let counts = Arc::new(SideCounts::new());
        let keys = draw_keys(&settings.guards).map_err(|cause| Error::Bind { addr, cause })?;
        let guards = Guards::new(&settings.guards, addr, &keys, Arc::clone(&counts))?;
        let guards = Arc::new(guards);
        let dispatch = Dispatch {
            factory,
            lifetime,
            hooks: Arc::clone(&hooks),
            admission: Admission {
                local_addr: addr,
                hooks: Arc::clone(&hooks),
                own_addresses: OwnAddresses::of(addr),
                allowed_sources: settings.guards.sources,
                guards: Arc::clone(&guards),
                on_truncated: settings.on_truncated,
                shedding: settings.shed_older_than.map(|older_than| Shedding {
                    older_than,
                    queue: QueueLimit::new(socket.granted_receive_buffer(), older_than),
                }),
                max_packet_size: settings.max_packet_size,
                truncated_lines: LogLimit::new(),
            },
            counts: Arc::clone(&counts),
            uncommitted: LogLimit::new(),
            failures: LogLimit::new(),
        };
        let config = EngineConfig {
            // Somebody has to wait at each socket.
            min_workers: settings.shards.max(*settings.workers.start()),
            max_workers: *settings.workers.end(),
            batch_size: settings.batch_size,
            max_packet_size: settings.max_packet_size,
            order: settings.order,
            drain_timeout: settings.drain_timeout,
            send: sys::SendOptions {
                coalesce: settings.coalesce_replies && sys::segments_work(),
            },
            thread_name: settings.thread_name,
            stack_size: settings.stack_size,
            max_deferred: settings.max_deferred,
            receive_buffer_asked: asked,
        };
        let mut dispatchers = Weak::new();
        let engine = Arc::new_cyclic(|engine| {
            let made = Arc::new(Dispatchers {
                dispatch: Arc::new(dispatch),
                engine: Weak::clone(engine),
            });
            dispatchers = Arc::downgrade(&made);
            Engine::new(config, sockets, made)
        });
        let proofs = Arc::downgrade(guards.validated());
        if guards.watch_sends() {
            let guard = Arc::downgrade(&guards);
            engine.socket().guard_sends(guard);
        }
        Ok(Self {
            socket: Some(socket),
            engine,
            hooks,
            counts,
            proofs,
            guards: Arc::downgrade(&guards),
            poll_interval: settings.poll_interval,
            dispatchers,
            solo: Solo::default(),
            key: kept::Key::default(),
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.engine.socket().local_addr()
    }

    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle::new(
            Arc::clone(&self.engine),
            Arc::clone(&self.counts),
            Weak::clone(&self.proofs),
            Weak::clone(&self.guards),
        )
    }

    /// Ends the handler instance that `handle_request` keeps on this thread.
    pub(crate) fn finish_solo(&self) {
        self.key.finish();
    }

    /// Serves on the calling thread until shut down.
    pub(crate) fn serve_forever(mut self) -> Result<ShutdownReport, Error> {
        self.key.finish();
        // From here on, other threads let go of what they keep.
        self.key = kept::Key::default();
        self.socket = None;
        let upkeep = self.upkeep();
        // The engine drops them in time, wherever else they are kept.
        self.hooks = Arc::default();
        let closing = self.engine.serve(upkeep)?;
        Ok(ShutdownReport::new(closing, &self.counts))
    }

    /// Handles one datagram on the calling thread.
    pub(crate) fn handle_request(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        let dispatchers = self.dispatchers.upgrade().ok_or(Error::Closed)?;
        let (outbox, progress) = self.engine.solo_place()?;
        let mut dispatcher = dispatchers.dispatcher(outbox, progress);
        dispatcher.take_up(&self.key);
        let end = self.solo.serve_one(&self.engine, &mut dispatcher, timeout);
        dispatcher.put_aside(&self.key);
        match end? {
            SoloEnd::Served => Ok(true),
            SoloEnd::Stopped => Ok(false),
            SoloEnd::TimedOut => {
                if let Some(hook) = &self.hooks.handle_timeout {
                    self.counts.contain("handle_timeout", hook);
                }
                Ok(false)
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;

        let socket = self.socket.as_ref();
        socket
            .expect("serving consumes the server, so it was not served yet")
            .as_fd()
    }

    fn upkeep(&self) -> Option<Upkeep> {
        let hook = Arc::clone(self.hooks.service_actions.as_ref()?);
        let counts = Arc::clone(&self.counts);
        let (proofs, guards) = (Weak::clone(&self.proofs), Weak::clone(&self.guards));
        Some(Upkeep {
            interval: self.poll_interval,
            action: Box::new(move |engine| {
                let (proofs, guards) = (Weak::clone(&proofs), Weak::clone(&guards));
                let server = ServerHandle::new(engine, Arc::clone(&counts), proofs, guards);
                counts.contain("service_actions", || hook(&server));
            }),
        })
    }
}

impl Drop for Core {
    /// Frees the port, also when handles live on. (Closed already after serving.)
    fn drop(&mut self) {
        self.key.finish();
        self.engine.discard();
    }
}

/// Opens or takes over the sockets; says also which receive buffer was asked for.
fn open_sockets(
    source: SocketSource,
    settings: &Settings,
) -> Result<(Vec<Arc<Socket>>, Option<usize>), Error> {
    let is_own = matches!(source, SocketSource::Addresses(_));
    let (inner, options) = match source {
        SocketSource::Addresses(addresses) => {
            let options = settings.socket_options();
            let first = bind_first(&addresses, &options)?;
            (bind_shards(first, settings.shards, &options)?, options)
        }
        SocketSource::Given(inner) => {
            settings.check_taken_over()?;
            let options = settings.taken_over_options();
            sys::check_servable(&inner)
                .and_then(|()| sys::set_buffers(&inner, &options))
                .map_err(|cause| Error::TakeOver { cause })?;
            (vec![inner], options)
        }
    };
    let send_buffer = match settings.send_buffer {
        None if is_own => Some(DEFAULT_SEND_BUFFER),
        asked => asked,
    };
    for socket in &inner {
        if let Some(asked) = send_buffer {
            ask_for_send_buffer(socket, asked, settings.send_buffer.is_some())
                .map_err(|cause| Error::TakeOver { cause })?;
        }
        settings.multicast.set_up(socket)?;
    }
    // Each member of a group has a copy of what is sent there: of several
    // sockets one is enough.
    settings.multicast.join_all(&inner[0])?;
    let take_over = sys::TakeOver {
        is_own,
        stamps: settings.shed_older_than.is_some(),
        coalesce: settings.coalesce_receives,
    };
    let take_over = |inner| {
        let socket = Socket::new(inner, take_over).map_err(|cause| Error::TakeOver { cause })?;
        Ok(Arc::new(socket))
    };
    let sockets = inner.into_iter().map(take_over);
    Ok((
        sockets.collect::<Result<_, Error>>()?,
        options.receive_buffer,
    ))
}

/// Binds as many sockets to the address of the first. That one was bound
/// without sharing its port, which would have failed if anyone else had it, and
/// shares it only from now on.
fn bind_shards(
    first: UdpSocket,
    shards: usize,
    options: &sys::Options,
) -> Result<Vec<UdpSocket>, Error> {
    let mut sockets = vec![first];
    if shards > 1 {
        let failed = |addr| move |cause| Error::Bind { addr, cause };
        let unbound = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = sockets[0].local_addr().map_err(failed(unbound))?;
        sys::share_port(&sockets[0]).map_err(failed(addr))?;
        let options = sys::Options {
            reuse_port: true,
            ..*options
        };
        for _ in 1..shards {
            sockets.push(sys::bind(addr, &options).map_err(failed(addr))?);
        }
    }
    Ok(sockets)
}

/// Binds the first address that can be bound; the error is about the last one.
fn bind_first(addresses: &[SocketAddr], options: &sys::Options) -> Result<UdpSocket, Error> {
    let mut last = Error::Resolve {
        cause: std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"),
    };
    for addr in addresses.iter().copied() {
        match sys::bind(addr, options) {
            Ok(socket) => return Ok(socket),
            Err(cause) => last = Error::Bind { addr, cause },
        }
    }
    Err(last)
}

/// The secrets of one server, from the operating system, but for those that it
/// shares with others.
fn draw_keys(settings: &GuardSettings) -> std::io::Result<Keys> {
    let mut secret = [0; Keys::BYTES];
    getrandom::fill(&mut secret)?;
    let keys = Keys::new(secret);
    Ok(match &settings.token_secret {
        None => keys,
        Some(secret) => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            keys.with_shared_tokens(secret, since_1970.unwrap_or_default())
        }
    })
}

/// Asks for a send buffer. The default may well be more than a system grants,
/// and costs nothing as long as no reply waits for an absent host.
fn ask_for_send_buffer(socket: &UdpSocket, asked: usize, is_set: bool) -> std::io::Result<()> {
    let granted = sys::ask_for_send_buffer(socket, asked)?;
    if granted >= asked {
        return Ok(());
    }
    let addr = socket.local_addr()?;
    let line = format!(
        "{addr}: a send buffer of {asked} bytes was asked for, {granted} were granted: replies to \
         absent hosts fill it sooner (on Linux, raise the limit with `sysctl -w net.core.wmem_max={asked}`)"
    );
    if is_set {
        log_warn!("{line}");
    } else {
        log_debug!("{line}");
    }
    Ok(())
}

fn warn_of_small_buffer(socket: &Socket, asked: Option<usize>) {
    let granted = socket.granted_receive_buffer();
    if let Some(asked) = asked.filter(|asked| granted < *asked) {
        log_warn!(
            "{}: a receive buffer of {asked} bytes was asked for, {granted} were granted: bursts \
             will be dropped sooner (on Linux, raise the limit with `sysctl -w net.core.rmem_max={asked}`)",
            socket.local_addr(),
        );
    }
}
