//! Handlers without sockets: `socketserver::testing`.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socketserver::testing::{Bench, Sent};
use socketserver::{
    ChangeError, DatagramHandler, HandlerError, SendError, ServerHandle, SocketHandle,
};

use crate::support::Journal;
#[cfg(target_os = "linux")]
use crate::support::process;

fn texts(sent: &[Sent]) -> Vec<String> {
    let text = |sent: &Sent| String::from_utf8_lossy(&sent.bytes).into_owned();
    sent.iter().map(text).collect()
}

#[test]
fn every_way_to_send_is_kept_in_order() {
    let other = SocketAddr::from(([192, 0, 2, 99], 99));
    let mut bench = Bench::from_fn(move |_, addr, socket| {
        write!(socket.writer(), "at the end")?;
        socket.reply(b"reply")?;
        socket.send_to(b"send_to", other)?;
        socket.try_send_to(b"try_send_to", addr)?;
        let detached = socket.detach();
        detached.reply(b"detached")?;
        socket.server().send_to(b"server", other)?;
        socket.server().send_to_all(b"to all", [addr, other])?;
        let sent = thread::spawn(move || detached.send_to(b"elsewhere", other)).join();
        Ok(sent.expect("no panic")?)
    });
    let outcome = bench.handle("go");
    outcome.result.as_ref().expect("handled");
    assert_eq!(
        texts(&outcome.sent),
        [
            "reply",
            "send_to",
            "try_send_to",
            "detached",
            "server",
            "to all",
            "to all",
            "elsewhere",
            "at the end"
        ]
    );
    assert_eq!(outcome.replies().len(), 5, "to the peer");
    let stats = bench.server().stats();
    assert_eq!(stats.replies.sent, 9, "counted as ever: {stats}");
    assert_eq!((stats.received, stats.handled), (1, 1));
}

#[test]
fn an_answer_that_was_deferred_is_kept() {
    let (tell, told) = mpsc::channel();
    let mut bench = Bench::from_fn(move |_, _, socket| {
        tell.send(socket.defer()?).expect("the test listens");
        Ok(())
    });
    assert!(bench.handle("later, please").sent.is_empty());
    let answer = told.recv().expect("deferred");
    answer.reply(b"here you are").expect("kept");
    assert_eq!(texts(&bench.take_sent()), ["here you are"]);
    assert_eq!(bench.server().stats().handled, 1, "counted as ever");
}

#[test]
fn what_no_server_sends_is_refused_here_as_well() {
    let mut bench = Bench::from_fn(|_, _, socket| {
        let nobody = "192.0.2.1:0".parse()?;
        assert!(matches!(
            socket.send_to(b"?", nobody),
            Err(SendError::PortZero { .. })
        ));
        let long = vec![0; 65_508];
        assert!(matches!(
            socket.reply(&long),
            Err(SendError::TooLong { .. })
        ));
        // Nothing of it is sent.
        let _ = socket.writer().write_all(&long);
        Ok(())
    });
    let outcome = bench.handle("go");
    let error = outcome.result.expect_err("the writer's reply is too long");
    assert!(error.to_string().contains("65508 bytes"), "{error}");
    assert!(outcome.sent.is_empty(), "{:?}", outcome.sent);
}

#[test]
fn peers_and_addresses_are_those_that_the_test_says() {
    let mut bench = Bench::from_fn(|_, addr, socket| {
        let seen = format!("{addr} {} {}", socket.local_addr(), socket.is_truncated());
        Ok(socket.reply(seen.as_bytes())?)
    });
    let seen =
        |bench: &mut Bench<_>| String::from_utf8_lossy(bench.handle("").reply()).into_owned();
    assert_eq!(seen(&mut bench), "192.0.2.1:50000 198.51.100.1:4000 false");
    bench.from("[2001:db8::7]:7");
    assert_eq!(seen(&mut bench), "[2001:db8::7]:7 [2001:db8::1]:4000 false");
    bench
        .from(("192.0.2.7", 7))
        .to([203, 0, 113, 5])
        .truncated(true);
    assert_eq!(seen(&mut bench), "192.0.2.7:7 203.0.113.5:4000 true");
}

#[test]
fn a_peer_proves_its_address() {
    let mut bench = Bench::from_fn(|bytes, _, socket| {
        if socket.is_validated() || socket.validate(bytes) {
            return Ok(socket.reply(b"welcome")?);
        }
        Ok(socket.reply(socket.token().as_ref())?)
    });
    let token = bench.handle("hello").reply().to_vec();
    assert_ne!(bench.from("192.0.2.2:2").handle(&token).reply(), b"welcome");
    assert_eq!(
        bench.from("192.0.2.1:50000").handle(&token).reply(),
        b"welcome"
    );
    assert_eq!(bench.handle("me again").reply(), b"welcome");
    let handle = bench.server();
    handle.mark_validated("192.0.2.3:3".parse().expect("an address"));
    assert_eq!(bench.from("192.0.2.3:3").handle("").reply(), b"welcome");
}

#[test]
fn setup_comes_first_and_again_if_it_failed_and_finish_last() {
    struct Noted {
        journal: Journal,
        failures: u32,
    }
    impl DatagramHandler for Noted {
        fn setup(&mut self) -> Result<(), HandlerError> {
            self.journal.note("setup");
            self.failures = self.failures.checked_sub(1).map_or(Ok(0), |left| {
                self.failures = left;
                Err("not ready")
            })?;
            Ok(())
        }
        fn handle(
            &mut self,
            _: &[u8],
            _: SocketAddr,
            _: &SocketHandle,
        ) -> Result<(), HandlerError> {
            self.journal.note("handle");
            Ok(())
        }
        fn finish(&mut self) {
            self.journal.note("finish");
        }
    }
    let journal = Journal::new();
    let mut bench = Bench::new(Noted {
        journal: journal.clone(),
        failures: 1,
    });
    assert_eq!(journal.read(), [""; 0], "nothing yet");
    let error = bench.handle("1").result.expect_err("setup failed");
    assert_eq!(error.to_string(), "not ready");
    bench.handle("2").result.expect("handled");
    bench.handle("3").result.expect("handled");
    let stats = bench.server().stats();
    assert_eq!((stats.failed, stats.handled), (1, 2));
    bench.finish();
    let expected = ["setup", "setup", "handle", "handle", "finish"];
    assert_eq!(journal.read(), expected);
}

#[test]
fn time_passes_when_the_test_says_so() {
    let mut bench = Bench::from_fn(|_, addr, socket| {
        fn tick(server: &ServerHandle, to: SocketAddr, left: u8) {
            server.send_to(&[b'0' + left], to).expect("kept");
            if left > 0 {
                let next = move |server: &ServerHandle| tick(server, to, left - 1);
                server.after(Duration::from_secs(1), next).expect("set");
            }
        }
        let server = socket.server();
        let doomed = server.after(Duration::from_secs(2), |_| panic!("cancelled"))?;
        server.after(Duration::from_secs(1), move |_| assert!(doomed.cancel()))?;
        tick(&server, addr, 3);
        Ok(())
    });
    assert_eq!(bench.handle("start").reply(), b"3");
    assert_eq!(texts(&bench.advance(Duration::from_millis(999))), [""; 0]);
    assert_eq!(texts(&bench.advance(Duration::from_millis(1))), ["2"]);
    assert_eq!(texts(&bench.advance(Duration::from_secs(9))), ["1", "0"]);
}

#[test]
fn what_the_test_sends_is_apart_from_what_the_handler_does() {
    let mut bench = Bench::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    let server = bench.server();
    let peer = SocketAddr::from(([192, 0, 2, 9], 9));
    server.send_to(b"before", peer).expect("kept");
    assert_eq!(texts(&bench.handle("reply").sent), ["reply"]);
    server.send_to(b"after", peer).expect("kept");
    let between = bench.take_sent();
    assert_eq!(texts(&between), ["before", "after"]);
    assert_eq!(between[0].to, peer);
    drop(bench);
    let late = server.send_to(b"late", peer);
    assert!(matches!(late, Err(SendError::Closed)), "{late:?}");
    let late = server.after(Duration::ZERO, |_| ());
    assert!(matches!(late, Err(ChangeError::Closed)), "{late:?}");
}

#[test]
#[should_panic(expected = "0 replies, not one")]
fn a_reply_that_does_not_come_fails_the_test() {
    Bench::from_fn(|_, _, _| Ok(())).handle("hello").reply();
}

/// They can be counted on Linux.
#[cfg(target_os = "linux")]
#[test]
fn there_is_neither_a_thread_nor_a_descriptor() {
    let name = "there_is_neither_a_thread_nor_a_descriptor";
    if !process::is_alone(module_path!(), name, None) {
        return;
    }
    let before = (process::open_descriptors(), process::threads());
    let mut bench = Bench::from_fn(|bytes, _, socket| {
        socket.server().after(Duration::from_secs(1), |_| ())?;
        Ok(socket.reply(bytes)?)
    });
    assert_eq!(bench.handle("hello").reply(), b"hello");
    bench.advance(Duration::from_secs(1));
    let during = (process::open_descriptors(), process::threads());
    assert_eq!(during, before);
}
