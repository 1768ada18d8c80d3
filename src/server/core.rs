//! The life of a server: bound, serving, draining, closed.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::admission::{Admission, GuardSettings, Guards, OwnAddresses, QueueLimit, Shedding};
use super::dispatch::{Dispatch, Dispatchers, Lifetime};
use super::handle::{Reach, RequestOutcome, ServerHandle, ShutdownReport};
use super::hooks::Hooks;
use super::isolation::Isolation;
use super::kept;
use super::memberships::Memberships;
use super::multicast::Multicast;
use super::opening::Opened;
use super::settings::Settings;
use crate::engine::{Children, Engine, EngineConfig, Solo, SoloEnd, Upkeep};
use crate::error::{BindError, ServeError};
use crate::guard::Keys;
use crate::handler::Factory;
use crate::logging::LogLimit;
use crate::socket_handle::Address;
use crate::stats::SideCounts;
use crate::sys::{self, Socket};

/// A bound server. All public servers are one of these with a style.
#[derive(Debug)]
pub(crate) struct Core<A = SocketAddr> {
    /// Let go when serving begins: from then on the engine alone closes it.
    socket: Option<Arc<Socket>>,
    engine: Arc<Engine>,
    hooks: Arc<Hooks<A>>,
    reach: Reach,
    handle: ServerHandle<A>,
    poll_interval: Duration,
    dispatchers: Weak<Dispatchers<A>>,
    /// What `handle_request` receives with.
    solo: Solo,
    /// For what it keeps between calls.
    key: kept::Key,
}

impl<A: Address> Core<A> {
    /// Sets a server up on sockets that are open, with settings that were checked;
    /// starts nothing.
    pub(crate) fn open(
        opened: Opened,
        settings: Settings,
        mut hooks: Hooks<A>,
        factory: Factory<A>,
        lifetime: Lifetime,
    ) -> Result<Self, BindError> {
        let own_addresses = opened.addrs();
        let Opened { sockets, asked } = opened;
        let socket = Arc::clone(&sockets[0]);
        let addr = socket.local_addr();
        let name = socket.name().to_string();
        hooks.unlogged = settings.unlogged;
        let counts = Arc::new(SideCounts::new(settings.unlogged));
        let children = match settings.isolation {
            Isolation::Thread => None,
            Isolation::Process => Some(
                children(&settings, &mut hooks, &socket, &counts)
                    .map_err(|cause| BindError::Bind { addr, cause })?,
            ),
        };
        let hooks = Arc::new(hooks);
        let keys = draw_keys(&settings.guards).map_err(|cause| BindError::Bind { addr, cause })?;
        let guards = Guards::new(&settings.guards, addr, &keys, Arc::clone(&counts))?;
        let guards = Arc::new(guards);
        let dispatch = Dispatch {
            factory,
            lifetime,
            hooks: Arc::clone(&hooks),
            admission: Admission {
                name,
                hooks: Arc::clone(&hooks),
                own_addresses: OwnAddresses::of(&own_addresses),
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
            // Who would owe the answer does not outlive its process.
            max_deferred: match settings.isolation {
                Isolation::Thread => settings.max_deferred,
                Isolation::Process => 0,
            },
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
            Engine::new(config, sockets, made, children)
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

    pub(crate) fn handle(&self) -> &ServerHandle<A> {
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
        let closing = self.engine.serve_with_children(upkeep);
        let closing = closing.map_err(|error| self.engine.socket().explain(error))?;
        Ok(ShutdownReport::new(closing, &self.reach.counts))
    }

    /// Handles one datagram on the calling thread.
    pub(crate) fn handle_request(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<RequestOutcome, ServeError> {
        self.check_isolation("handle_request")?;
        let dispatchers = self.dispatchers.upgrade().ok_or(ServeError::Closed)?;
        let (outbox, progress) = self.engine.solo_place()?;
        let mut dispatcher = dispatchers.dispatcher(outbox, progress);
        dispatcher.take_up(&self.key);
        let end = self.solo.serve_one(&self.engine, &mut dispatcher, timeout);
        dispatcher.put_aside(&self.key);
        match end.map_err(|error| self.engine.socket().explain(error))? {
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

    /// Refuses what only threads can do.
    pub(crate) fn check_isolation(&self, what: &str) -> Result<(), ServeError> {
        if !self.engine.has_children() {
            return Ok(());
        }
        let addr = self.engine.socket().local_addr();
        let problem = format!("{what} cannot fork: call serve_forever, from the only thread");
        Err(ServeError::Isolation { addr, problem })
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

impl<A> Drop for Core<A> {
    /// Frees the port, also when handles live on. (Closed already after serving.)
    fn drop(&mut self) {
        self.key.finish();
        self.engine.discard();
    }
}

/// What is asked of processes, and what they share.
fn children<A>(
    settings: &Settings,
    hooks: &mut Hooks<A>,
    socket: &Socket,
    counts: &Arc<SideCounts>,
) -> std::io::Result<Children> {
    let most = *settings.workers.end();
    let mut children = Children::new(most, Arc::clone(counts), socket)?;
    children.max_requests = settings.max_requests;
    children.timeout = settings.child_timeout;
    children.on_start = hooks.on_child_start.take();
    children.on_exit = hooks.on_child_exit.take();
    Ok(children)
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
