//! A server that lends itself to be caught at one place in users' code.

use std::fmt::{self, Debug, Display, Formatter};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use socketserver::{
    AmplificationLimit, Builder, DatagramHandler, DetachedHandle, ForkingStyleUdpServer,
    HandlerError, RunningServer, ServerHandle, SocketHandle, ThreadingUdpServer,
};

use super::places::{DENIED, LINE, Place};
use super::sessions::sessions;
use crate::icmp::reporting_socket;
use crate::support::{ANY_PORT, Client, DEADLINE, ServerBuilder, UdpServer};

/// A server, not bound yet, and the place in its users' code that matters.
pub(super) struct Scene {
    pub(super) place: &'static Place,
    pub(super) trap: Trap,
    style: Style,
    most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Workers,
    Children,
    /// Workers, and a session for each peer.
    Sessions,
}

impl Scene {
    /// A server with at most so many workers.
    pub(super) fn of_workers(place: &'static Place, most: usize) -> Self {
        Self::new(place, Style::Workers, most)
    }

    /// A server with at most so many children.
    pub(super) fn of_children(place: &'static Place, most: usize) -> Self {
        Self::new(place, Style::Children, most)
    }

    /// A server with at most so many workers, and a session for each peer.
    pub(super) fn of_sessions(place: &'static Place, most: usize) -> Self {
        Self::new(place, Style::Sessions, most)
    }

    fn new(place: &'static Place, style: Style, most: usize) -> Self {
        let trap = Trap::default();
        catch_lines_and_panics(&trap);
        Self {
            place,
            trap,
            style,
            most,
        }
    }

    pub(super) fn spawn(&self) -> RunningServer {
        match self.style {
            Style::Workers | Style::Sessions => self.workers().spawn(),
            Style::Children => self.children().spawn(),
        }
    }

    /// What serves with `handle_request` until the flag is set, and drops the
    /// server then; `tell` is told when it is bound.
    pub(super) fn serve_one_by_one(
        &self,
        is_over: Arc<AtomicBool>,
        tell: Sender<ServerHandle>,
    ) -> Box<dyn FnOnce() + Send> {
        fn serve(mut server: impl UdpServer, is_over: &AtomicBool, tell: &Sender<ServerHandle>) {
            tell.send(server.handle()).expect("the test listens");
            while !is_over.load(Relaxed) {
                let served = server.handle_request(Some(Duration::from_millis(5)));
                served.expect("nothing fails");
            }
        }
        match self.style {
            Style::Workers | Style::Sessions => {
                let server = self.workers();
                Box::new(move || serve(server, &is_over, &tell))
            }
            Style::Children => {
                let server = self.children();
                Box::new(move || serve(server, &is_over, &tell))
            }
        }
    }

    /// Has the code at the place call what a handle of the server and one of a
    /// handler have. Tells when it has returned from that.
    pub(super) fn call_back(&self, handle: &ServerHandle) -> Receiver<()> {
        let (tell, told) = mpsc::channel();
        let lent = self.borrow_a_handle(handle);
        let handle = handle.clone();
        self.trap.set(self.place, move || {
            let send = || lent.as_ref().map(|lent| lent.reply(b"more"));
            handle.stats();
            send();
            handle.shutdown();
            send();
            handle.stats();
            let _ = tell.send(());
        });
        told
    }

    /// A handle of the worker that answers first. There is none where the first
    /// answer is what matters.
    pub(super) fn borrow_a_handle(&self, handle: &ServerHandle) -> Option<DetachedHandle> {
        if matches!(self.place.name, "factory" | "setup" | "admit" | "maker") {
            return None;
        }
        let addr = handle.local_addr();
        assert_eq!(Client::of(addr).ask(b"lend"), b"lend");
        let lent = self.trap.lent.1.lock().expect("no panic");
        Some(lent.recv_timeout(DEADLINE).expect("it was lent before"))
    }

    fn workers(&self) -> ThreadingUdpServer {
        let mut builder = ThreadingUdpServer::builder().deny_networks([DENIED]);
        if self.place.name == "line: withheld replies to" {
            builder = builder.amplification_limit(AmplificationLimit::new());
        }
        self.bind(builder)
    }

    fn children(&self) -> ForkingStyleUdpServer {
        let mut builder = ForkingStyleUdpServer::builder().deny_networks([DENIED]);
        if self.place.name == "line: withheld replies to" {
            builder = builder.amplification_limit(AmplificationLimit::new());
        }
        self.bind(builder)
    }

    /// Sets hooks, all of which the trap knows.
    fn bind<S: UdpServer>(&self, builder: Builder<S>) -> S {
        let name = self.place.name;
        let captured = |place| Captured {
            trap: self.trap.clone(),
            place,
            panics: name == "line: dropping a hook panicked",
        };
        let builder = builder
            .at_most(self.most)
            .max_packet_size(MAX_PACKET_SIZE)
            .poll_interval(Duration::from_millis(5))
            .drain_timeout(Duration::from_millis(20));
        let hook = captured("drop of verify_request");
        let builder = builder.verify_request(move |_, _| {
            hook.trap.at("verify_request");
            true
        });
        let hook = captured("drop of service_actions");
        let builder = builder.service_actions(move |_| match name {
            "line: left behind" => {
                HOOK_HANGS.store(true, Relaxed);
                sleep(FOR_EVER);
            }
            "line: service_actions panicked" => panic!("as asked"),
            _ => hook.trap.at("service_actions"),
        });
        let hook = captured("drop of handle_timeout");
        let builder = builder.handle_timeout(move || hook.trap.at("handle_timeout"));
        let builder = match name {
            "line: handle_error panicked" => builder.handle_error(|_| panic!("as asked")),
            "handle_error" | "drop of handle_error" => {
                let hook = captured("drop of handle_error");
                builder.handle_error(move |_| hook.trap.at("handle_error"))
            }
            // What the server does by default.
            _ => builder,
        };
        let mut factory = captured("drop of the factory");
        factory.panics = name == "line: dropping the factory panicked";
        let make = move || {
            factory.trap.at("factory");
            Visitor {
                trap: factory.trap.clone(),
                panics: name == "line: finish panicked",
            }
        };
        let server = match name {
            _ if self.style == Style::Sessions => {
                let maker = captured("drop of the maker");
                builder.bind(ANY_PORT, sessions(&self.trap, maker))
            }
            "line: receive failed" => builder.from_socket(reporting_socket(), make),
            _ => builder.bind(ANY_PORT, make),
        };
        server.expect("a free port")
    }
}

/// What happens at one place, once.
#[derive(Clone)]
pub(super) struct Trap {
    set: Arc<Mutex<Option<(&'static str, Action)>>>,
    /// Handles that the handler has lent.
    lent: (Sender<DetachedHandle>, Arc<Mutex<Receiver<DetachedHandle>>>),
}

type Action = Box<dyn FnOnce() + Send>;

impl Default for Trap {
    fn default() -> Self {
        let (lend, lent) = mpsc::channel();
        Self {
            set: Arc::default(),
            lent: (lend, Arc::new(Mutex::new(lent))),
        }
    }
}

impl Trap {
    pub(super) fn set(&self, place: &Place, action: impl FnOnce() + Send + 'static) {
        *self.set.lock().expect("no panic") = Some((place.name, Box::new(action)));
    }

    /// The handler lends a handle.
    pub(super) fn lend(&self, socket: &SocketHandle) {
        let _ = self.lent.0.send(socket.detach());
    }

    /// Users' code is at this place.
    pub(super) fn at(&self, place: &str) {
        self.spring(|name| name == place);
    }

    /// The logger was given this line.
    fn at_line(&self, line: &str) {
        self.spring(|name| {
            let text = name.strip_prefix(LINE);
            text.is_some_and(|text| line.contains(text))
        });
    }

    fn spring(&self, is_meant: impl Fn(&str) -> bool) {
        let action = {
            let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            set.take_if(|(name, _)| is_meant(name))
        };
        if let Some((_, action)) = action {
            action();
        }
    }
}

/// What a closure captured.
pub(super) struct Captured {
    pub(super) trap: Trap,
    place: &'static str,
    panics: bool,
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.trap.at(self.place);
        assert!(!self.panics, "as asked");
    }
}

struct Visitor {
    trap: Trap,
    /// When it is finished.
    panics: bool,
}

impl DatagramHandler for Visitor {
    fn setup(&mut self) -> Result<(), HandlerError> {
        self.trap.at("setup");
        Ok(())
    }

    fn handle(
        &mut self,
        bytes: &[u8],
        _: SocketAddr,
        socket: &SocketHandle,
    ) -> Result<(), HandlerError> {
        let trap = || self.trap.clone();
        match bytes {
            b"hello" => self.trap.at("handle"),
            b"fail" => return Err(Box::new(Failure(trap()))),
            b"panic" => panic_any(Payload(trap())),
            // A broadcast without leave: the kernel refuses it.
            b"lost" => return Ok(socket.send_to(b"lost", ([127, 255, 255, 255], 9).into())?),
            b"to nobody" => {
                let nobody = UdpSocket::bind(ANY_PORT)?.local_addr()?;
                return Ok(socket.send_to(b"anybody?", nobody)?);
            }
            b"amplify" => return Ok(socket.reply(&[0; 10_000])?),
            b"too long" => {
                // What comes of it shows when the handler has returned.
                let _ = socket.writer().write_all(&[0; 70_000]);
                return Ok(());
            }
            b"lend" => self.trap.lend(socket),
            b"stay" => {
                socket.detach().reply(bytes)?;
                sleep(FOR_EVER);
                return Ok(());
            }
            _ => {}
        }
        Ok(socket.reply(bytes)?)
    }

    fn finish(&mut self) {
        self.trap.at("finish");
        assert!(!self.panics, "as asked");
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.trap.at("drop of an instance");
    }
}

/// An error of the handler.
struct Failure(Trap);

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.at("display of an error");
        f.write_str("as asked")
    }
}

impl Debug for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Failure")
    }
}

impl std::error::Error for Failure {}

impl Drop for Failure {
    fn drop(&mut self) {
        self.0.at("drop of an error");
    }
}

/// What the handler panics with.
pub(super) struct Payload(pub(super) Trap);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.at("drop of a payload");
    }
}

/// The logger and the panic hook, which a process has one of.
struct OfTheProcess(OnceLock<Mutex<Trap>>);

static OF_THE_PROCESS: OfTheProcess = OfTheProcess(OnceLock::new());

impl OfTheProcess {
    fn trap(&self) -> &Mutex<Trap> {
        self.0.get_or_init(Mutex::default)
    }

    fn current(&self) -> Trap {
        let trap = self.trap().lock().unwrap_or_else(PoisonError::into_inner);
        trap.clone()
    }
}

impl log::Log for OfTheProcess {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.current().at_line(&record.args().to_string());
    }

    fn flush(&self) {}
}

/// From now on they lead to this trap.
fn catch_lines_and_panics(trap: &Trap) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&OF_THE_PROCESS).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            OF_THE_PROCESS.current().at("panic hook");
            tell(panic);
        }));
    });
    *OF_THE_PROCESS.trap().lock().expect("no panic") = trap.clone();
}

static HOOK_HANGS: AtomicBool = AtomicBool::new(false);

/// Whether a hook has been left to hang, since this was asked last.
pub(super) fn hook_hangs() -> bool {
    HOOK_HANGS.swap(false, Relaxed)
}

/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(600);

/// In bytes.
pub(super) const MAX_PACKET_SIZE: usize = 100;
