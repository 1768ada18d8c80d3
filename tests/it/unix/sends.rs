//! What is sent from a Unix socket, and what is not.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use socketserver::SendError;
use socketserver::unix::UnixAddr;

use super::{Folder, Serving, TestServer, builder, echo};
use crate::support::{DEADLINE, Gate, wait_until};

#[test]
fn clients_with_names_are_answered() {
    let folder = Folder::new();
    let server = builder().serving(&folder, |bytes, addr, socket| {
        let words = format!("{}, {addr}", String::from_utf8_lossy(bytes));
        Ok(socket.reply(words.as_bytes())?)
    });
    let clients = ["a", "b"].map(|name| folder.client(name));
    for _ in 0..100 {
        for client in &clients {
            let expected = format!("hello, {}", client.addr());
            assert_eq!(client.ask(b"hello"), expected.as_bytes());
        }
    }
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (200, 200));
}

#[test]
fn a_client_without_a_name_is_received_and_cannot_be_answered() {
    let folder = Folder::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&seen);
    let server = builder()
        .handle_error(move |failure| journal.lock().expect("no panics").push(failure.to_string()))
        .serving(&folder, |bytes, addr, socket| {
            assert_eq!(addr, UnixAddr::UNNAMED);
            for sent in [socket.try_reply(bytes), socket.detach().reply(bytes)] {
                assert!(matches!(sent, Err(SendError::Unnamed)), "{sent:?}");
            }
            Ok(socket.reply(bytes)?)
        });
    let client = folder.unnamed();
    client.send(b"it's me");
    server.wait_until_settled(1);
    client.expect_nothing();
    let stats = server.stop().stats;
    assert_eq!(
        (stats.received, stats.failed, stats.replies.sent),
        (1, 1, 0)
    );
    assert_eq!(stats.replies.failed.bad_address, 3);
    let problem =
        "handler failed on 7 bytes from (unnamed): cannot send to a client without a name";
    assert_eq!(*seen.lock().expect("no panics"), [problem]);
}

#[test]
fn a_full_queue_fails_each_send_at_once_and_the_server_goes_on() {
    let folder = Folder::new();
    let (sender, failures) = mpsc::channel();
    // One worker: whoever waited for the one would delay the others.
    let server = builder()
        .workers(1)
        .serving(&folder, move |bytes, _, socket| {
            if bytes != b"flood" {
                return Ok(socket.reply(bytes)?);
            }
            let mut waiting = 0;
            while socket.reply(bytes).is_ok() {
                waiting += 1;
            }
            assert!(waiting > 0, "a queue holds something");
            let also = [
                socket.reply(bytes),
                socket.try_reply(bytes),
                socket.detach().reply(bytes),
            ];
            for sent in also {
                sender.send((waiting, sent))?;
            }
            Ok(())
        });
    let (deaf, other) = (folder.client("deaf"), folder.client("other"));
    deaf.send(b"flood");
    for _ in 0..10 {
        assert_eq!(other.ask(b"still there?"), b"still there?");
    }
    let mut waiting = 0;
    for _ in 0..3 {
        let (count, sent) = failures.recv_timeout(DEADLINE).expect("told");
        let error = sent.expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let place = deaf.addr();
        let words = format!(
            "cannot send 5 bytes to {place}: its queue, or this server's send buffer, is full"
        );
        assert_eq!(error.to_string(), words);
        waiting = count;
    }
    let failed = server.stats().replies.failed.no_room;
    assert_eq!(failed, 4, "the one that ended the flood and three");
    for _ in 0..waiting {
        assert_eq!(deaf.receive(), b"flood");
    }
    assert_eq!(deaf.ask(b"better now"), b"better now");
    deaf.expect_nothing();
    assert_eq!(server.stop().stats.replies.failed.total(), 4);
}

#[test]
fn a_peer_that_is_gone_is_unreachable() {
    let folder = Folder::new();
    let gate = Gate::new();
    let (held, (sender, failures)) = (gate.clone(), mpsc::channel());
    let server = builder().serving(&folder, move |_, addr, socket| {
        held.pass();
        let error = socket.reply(b"anybody there?").expect_err("nobody is");
        sender.send((addr, error.kind()))?;
        Ok(())
    });
    let _open = gate.open_on_drop();
    let (closed, removed) = (folder.client("closed"), folder.client("removed"));
    for client in [&closed, &removed] {
        client.send(b"goodbye");
    }
    let at = [closed.addr(), removed.addr()];
    drop((closed, removed));
    std::fs::remove_file(folder.join("removed")).expect("its file");
    gate.open();
    for _ in 0..2 {
        let (addr, kind) = failures.recv_timeout(DEADLINE).expect("told");
        let expected = match addr == at[0] {
            true => ErrorKind::ConnectionRefused,
            false => ErrorKind::NotFound,
        };
        assert_eq!(kind, expected, "{addr}");
    }
    assert_eq!(server.stop().stats.replies.failed.unreachable, 2);
}

#[test]
fn all_ways_to_send_lead_to_the_client() {
    let folder = Folder::new();
    let server = builder().serving(&folder, |bytes, addr, socket| {
        match bytes {
            b"writer" => {
                write!(socket.writer(), "by ")?;
                write!(socket.writer(), "writer")?;
            }
            b"send_to" => socket.send_to(b"by send_to", addr)?,
            b"try_reply" => socket.try_reply(b"by try_reply")?,
            b"try_send_to" => socket.try_send_to(b"by try_send_to", addr)?,
            b"detach" => {
                let later = socket.detach();
                assert_eq!(later.peer_addr(), addr);
                thread::spawn(move || later.reply(b"by detach"));
            }
            b"server" => socket.server().send_to(b"by server", addr)?,
            b"defer" => {
                let answer = socket.defer()?;
                assert_eq!(answer.peer_addr(), addr);
                thread::spawn(move || answer.reply(b"by defer"));
            }
            b"defer here" => socket.defer()?.reply(b"by defer here")?,
            b"local_addr" => socket.reply(socket.local_addr().to_string().as_bytes())?,
            _ => return Err("what?".into()),
        }
        Ok(())
    });
    let client = folder.client("client");
    for way in [
        "writer",
        "send_to",
        "try_reply",
        "try_send_to",
        "detach",
        "server",
        "defer",
        "defer here",
    ] {
        let reply = client.ask(way.as_bytes());
        assert_eq!(String::from_utf8_lossy(&reply), format!("by {way}"));
    }
    let here = folder.server().display().to_string();
    assert_eq!(client.ask(b"local_addr"), here.as_bytes());
    assert_eq!(
        server.local_addr(),
        UnixAddr::new(folder.server()).expect("short")
    );
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.replies.sent), (9, 9));
}

#[test]
fn a_deferred_answer_that_cannot_be_sent_fails_the_datagram() {
    let folder = Folder::new();
    let (sender, answers) = mpsc::channel();
    let server = builder().serving(&folder, move |_, _, socket| {
        sender.send(socket.defer()?)?;
        Ok(())
    });
    let nobody = folder.unnamed();
    nobody.send(b"call me back");
    let answer = answers.recv_timeout(DEADLINE).expect("deferred");
    wait_until("the handler has returned", || server.stats().deferred == 1);
    let sent = answer.reply(b"to whom?");
    assert!(matches!(sent, Err(SendError::Unnamed)), "{sent:?}");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.failed, stats.deferred), (0, 1, 0));
}

#[test]
fn nothing_is_sent_once_the_server_is_closed() {
    let folder = Folder::new();
    let (sender, handles) = mpsc::channel();
    let server = builder().serving(&folder, move |bytes, _, socket| {
        sender.send(socket.detach())?;
        Ok(socket.reply(bytes)?)
    });
    let client = folder.client("client");
    client.ask(b"one");
    let (late, handle) = (
        handles.recv_timeout(DEADLINE).expect("made"),
        server.clone(),
    );
    server.stop();
    for sent in [late.reply(b"late"), handle.send_to(b"late", client.addr())] {
        assert!(matches!(sent, Err(SendError::Closed)), "{sent:?}");
    }
    client.expect_nothing();
}

#[test]
fn what_is_longer_than_the_send_buffer_is_refused_by_its_reason() {
    let folder = Folder::new();
    let server = builder()
        .send_buffer(8 << 10)
        .serving(&folder, |_, _, socket| {
            let error = socket.reply(&[0; 100_000]).expect_err("too long");
            Ok(socket.reply(error.to_string().as_bytes())?)
        });
    let client = folder.client("client");
    let words = String::from_utf8(client.ask(b"all of it")).expect("words");
    assert!(words.starts_with("cannot send 100000 bytes to "), "{words}");
    let stats = server.stop().stats;
    assert_eq!((stats.replies.failed.too_long, stats.replies.sent), (1, 1));
}

#[test]
fn one_closure_serves_every_way_it_is_handed_over() {
    let folder = Folder::new();
    let by_name = builder().bind(folder.server(), echo).expect("bound");
    drop(by_name);
    let closure = socketserver::unix::from_fn(|bytes, _, socket| Ok(socket.reply(bytes)?));
    let server = builder().bind(folder.server(), closure).expect("bound");
    let server = TestServer::spawn(server);
    assert_eq!(folder.client("client").ask(b"hello"), b"hello");
    drop(server);
}
