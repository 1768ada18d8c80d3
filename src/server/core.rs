//! The life of a server: bound, serving, draining, closed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::admission::{Admission, GuardSettings, Guards, OwnAddresses, QueueLimit, Shedding};
use super::dispatch::{Dispatch, Dispatchers, Lifetime};
use super::handle::{Reach, RequestOutcome, ServerHandle, ShutdownReport};
use super::hooks::Hooks;
use super::kept;
use super::memberships::Memberships;
use super::multicast::Multicast;
use super::settings::{DEFAULT_SEND_BUFFER, Settings};
use super::sockets::{bind_each, bind_shards, not_bound};
use crate::engine::{Engine, EngineConfig, Solo, SoloEnd, Upkeep};
use crate::error::{BindError, ServeError};
use crate::guard::Keys;
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
    reach: Reach,
    handle: ServerHandle,
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
    /// All of these addresses.
    Each(Vec<SocketAddr>),
    /// Handed in.
    Given(UdpSocket),
}

impl Core {
    /// Opens or takes over the socket, with settings that were checked; starts nothing.
    pub(crate) fn open(
        source: SocketSource,
        settings: Settings,
        mut hooks: Hooks,
        factory: Factory,
        lifetime: Lifetime,
    ) -> Result<Self, BindError> {
        let (sockets, asked) = open_sockets(source, &settings)?;
        let socket = Arc::clone(&sockets[0]);
        let addr = socket.local_addr();
        warn_of_small_buffer(&socket, asked);
        hooks.unlogged = settings.unlogged;
        let hooks = Arc::new(hooks);
        let counts = Arc::new(SideCounts::new(settings.unlogged));
        let keys = draw_keys(&settings.guards).map_err(|cause| BindError::Bind { addr, cause })?;
        let guards = Guards::new(&settings.guards, addr, &keys, Arc::clone(&counts))?;
        let guards = Arc::new(guards);
        let dispatch = Dispatch {
            factory,
            lifetime,
            hooks: Arc::clone(&hooks),
            admission: Admission {
                local_addr: addr,
                hooks: Arc::clone(&hooks),
                own_addresses: OwnAddresses::of(&distinct_addrs(&sockets)),
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
            min_workers: sockets.len().max(*settings.workers.start()),
            max_workers: *settings.workers.end(),
            batch_size: settings.batch_size,
            max_packet_size: settings.max_packet_size,
            order: settings.order,
            drain_timeout: settings.drain_timeout,
            send: sys::QueueOptions {
                coalesce: settings.coalesce_replies && sys::segments_work(),
            },
            send_defaults: settings.sending.defaults(),
            thread_name: settings.thread_name,
            stack_size: settings.stack_size,
            max_deferred: settings.max_deferred,
            receive_buffer_asked: asked,
            unlogged: settings.unlogged,
        };
        let reach = Arc::default();
        let mut dispatchers = Weak::new();
        let engine = Arc::new_cyclic(|engine| {
            let made = Arc::new(Dispatchers {
                dispatch: Arc::new(dispatch),
                engine: Weak::clone(engine),
                reach: Arc::clone(&reach),
            });
            dispatchers = Arc::downgrade(&made);
            Engine::new(config, sockets, made)
        });
        let Multicast { groups, follow, .. } = &settings.multicast;
        let memberships = Memberships::new(Arc::clone(engine.socket()), groups, *follow)?;
        let reach: &Reach = reach.get_or_init(|| Reach {
            counts: Arc::clone(&counts),
            proofs: Arc::downgrade(guards.validated()),
            guards: Arc::downgrade(&guards),
            memberships: Arc::new(memberships),
        });
        if guards.watch_sends() {
            let guard = Arc::downgrade(&guards);
            engine.socket().guard_sends(guard);
        }
        Ok(Self {
            socket: Some(socket),
            handle: ServerHandle::new(Arc::clone(&engine), reach.clone()),
            engine,
            hooks,
            reach: reach.clone(),
            poll_interval: settings.poll_interval,
            dispatchers,
            solo: Solo::default(),
            key: kept::Key::default(),
        })
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Ends the handler instance that `handle_request` keeps on this thread.
    pub(crate) fn finish_solo(&self) {
        self.key.finish();
    }

    /// Serves on the calling thread until shut down.
    pub(crate) fn serve_forever(mut self) -> Result<ShutdownReport, ServeError> {
        self.key.finish();
        // From here on, other threads let go of what they keep.
        self.key = kept::Key::default();
        self.socket = None;
        let upkeep = self.upkeep();
        // The engine drops them in time, wherever else they are kept.
        self.hooks = Arc::default();
        let _until_closed = self.reach.memberships.follow();
        let closing = self.engine.serve(upkeep)?;
        Ok(ShutdownReport::new(closing, &self.reach.counts))
    }

    /// Handles one datagram on the calling thread.
    pub(crate) fn handle_request(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<RequestOutcome, ServeError> {
        let dispatchers = self.dispatchers.upgrade().ok_or(ServeError::Closed)?;
        let (outbox, progress) = self.engine.solo_place()?;
        let mut dispatcher = dispatchers.dispatcher(outbox, progress);
        dispatcher.take_up(&self.key);
        let end = self.solo.serve_one(&self.engine, &mut dispatcher, timeout);
        dispatcher.put_aside(&self.key);
        match end? {
            SoloEnd::Served => Ok(RequestOutcome::Handled),
            SoloEnd::Stopped => Ok(RequestOutcome::ShutDown),
            SoloEnd::TimedOut => {
                if let Some(hook) = &self.hooks.handle_timeout {
                    self.reach.counts.contain("handle_timeout", hook);
                }
                Ok(RequestOutcome::TimedOut)
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
        let reach = self.reach.clone();
        Some(Upkeep {
            interval: self.poll_interval,
            action: Box::new(move |engine| {
                let server = ServerHandle::new(engine, reach.clone());
                reach.counts.contain("service_actions", || hook(&server));
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
) -> Result<(Vec<Arc<Socket>>, Option<usize>), BindError> {
    let (inner, options, bound) = match source {
        SocketSource::Addresses(addresses) => {
            let options = settings.socket_options();
            let (first, addr) = bind_first(&addresses, &options)?;
            let sockets = bind_shards(first, settings.shards, &options)?;
            (sockets, options, Some(addr))
        }
        SocketSource::Each(addresses) => {
            settings.check_sockets(addresses.len())?;
            let options = settings.socket_options();
            let sockets = bind_each(&addresses, settings.shards, &options)?;
            (sockets, options, addresses.first().copied())
        }
        SocketSource::Given(inner) => {
            settings.check_taken_over()?;
            let options = settings.taken_over_options();
            sys::check_servable(&inner)
                .and_then(|()| sys::set_buffers(&inner, &options))
                .map_err(|cause| BindError::TakeOver { cause })?;
            (vec![inner], options, None)
        }
    };
    // What the system refuses, it refuses to a socket of this server's or to
    // one that was handed in.
    let failed = |cause| match bound {
        Some(addr) => BindError::Bind { addr, cause },
        None => BindError::TakeOver { cause },
    };
    let is_own = bound.is_some();
    let send_buffer = match settings.send_buffer {
        None if is_own => Some(DEFAULT_SEND_BUFFER),
        asked => asked,
    };
    for socket in &inner {
        if let Some(asked) = send_buffer {
            ask_for_send_buffer(socket, asked, settings.send_buffer.is_some()).map_err(failed)?;
        }
    }
    settings.multicast.set_up(&inner, failed)?;
    for socket in &inner {
        settings.details.set_up(socket)?;
        settings.sending.set_up(socket)?;
    }
    let take_over = |(number, inner)| {
        let take_over = sys::TakeOver {
            ignore_path_mtu: is_own && !settings.sending.dont_fragment,
            stamps: settings.shed_older_than.is_some(),
            coalesce: settings.coalesce_receives,
            number,
        };
        let socket = Socket::new(inner, take_over).map_err(failed)?;
        Ok(Arc::new(socket))
    };
    let sockets = (0..).zip(inner).map(take_over);
    let sockets = sockets.collect::<Result<Vec<_>, BindError>>()?;
    Ok((sockets, options.receive_buffer))
}

/// The addresses of sockets in their order; one that several share is there once.
fn distinct_addrs(sockets: &[Arc<Socket>]) -> Vec<SocketAddr> {
    let mut addrs: Vec<_> = sockets.iter().map(|socket| socket.local_addr()).collect();
    addrs.dedup();
    addrs
}

/// Binds the first address that can be bound; the error is about the last one.
fn bind_first(
    addresses: &[SocketAddr],
    options: &sys::Options,
) -> Result<(UdpSocket, SocketAddr), BindError> {
    let mut last = None;
    for addr in addresses.iter().copied() {
        match sys::bind(addr, options) {
            Ok(socket) => return Ok((socket, addr)),
            Err(error) => last = Some(not_bound(addr, error)),
        }
    }
    Err(last.expect("an address that resolves to none is refused before"))
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
