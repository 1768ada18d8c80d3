//! What is sent, what is not, and when.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use socketserver::{DetachedHandle, SendError};

use crate::support::{
    ANY_PORT, Client, DEADLINE, Gate, ServerBuilder, TestServer, UdpServer, for_both_servers,
};

for_both_servers! {
    nothing_written_means_no_reply,
    an_empty_reply_is_sent_when_it_is_asked_for,
    pieces_written_arrive_as_one_datagram,
    an_error_after_writing_sends_no_partial_reply,
    a_panic_after_writing_sends_no_partial_reply,
    what_was_written_for_one_is_never_sent_to_the_next,
    a_writer_takes_the_longest_reply_and_not_a_byte_more,
    an_overlong_reply_sends_nothing_even_if_the_handler_goes_on,
    a_reply_made_before_an_error_goes_out,
    a_reply_made_before_a_panic_goes_out,
    an_oversize_reply_is_refused_at_once_and_its_neighbours_are_sent,
    the_largest_reply_is_sent,
    addresses_that_cannot_be_sent_to_are_refused_at_once,
    a_send_that_fails_later_costs_its_neighbours_nothing,
    try_send_to_returns_the_kernels_answer,
    send_to_reaches_somebody_else,
    replies_to_one_peer_keep_their_order,
    a_reply_made_before_blocking_arrives_while_the_handler_is_blocked,
    the_reply_comes_from_the_address_that_was_asked,
    a_detached_handle_replies_from_another_thread,
    a_detached_handle_is_closed_with_its_server_and_keeps_no_port,
    a_detached_handle_refuses_what_cannot_be_sent,
}

fn nothing_written_means_no_reply<S: UdpServer>() {
    let server = S::builder().at_most(1).serving(|bytes, _, socket| {
        let mut writer = socket.writer();
        match bytes {
            b"silence" => writer.write_all(b"")?,
            b"nothing" => {}
            _ => writer.write_all(bytes)?,
        }
        Ok(writer.flush()?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"nothing");
    client.send(b"silence");
    assert_eq!(client.ask(b"say this"), b"say this", "the only reply");
    let stats = server.stop().stats;
    client.expect_silence();
    assert_eq!((stats.handled, stats.replies.sent), (3, 1), "one of three");
}

fn an_empty_reply_is_sent_when_it_is_asked_for<S: UdpServer>() {
    let server = S::serving(|_, _, socket| Ok(socket.reply(b"")?));
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"anything"), b"", "an empty datagram came");
    assert_eq!(server.stop().stats.replies.sent, 1, "it counts");
}

fn pieces_written_arrive_as_one_datagram<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        write!(socket.writer(), "{} bytes", bytes.len())?;
        socket.writer().write_all(b", ")?;
        let mut writer = socket.writer();
        writer.write_all(b"thank ")?;
        writer.flush()?;
        Ok(writer.write_all(b"you")?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"12345"), b"5 bytes, thank you");
    server.stop();
    client.expect_silence();
}

fn an_error_after_writing_sends_no_partial_reply<S: UdpServer>() {
    let server = S::builder().at_most(1).serving(|bytes, _, socket| {
        socket.writer().write_all(bytes)?;
        match bytes {
            b"half of it" => Err("changed its mind".into()),
            _ => Ok(()),
        }
    });
    let client = Client::of(server.local_addr());
    client.send(b"half of it");
    assert_eq!(client.ask(b"all of it"), b"all of it", "the only reply");
    let stats = server.stop().stats;
    client.expect_silence();
    assert_eq!((stats.failed, stats.handled), (1, 1), "one each");
    assert_eq!(stats.replies.failed.total(), 0, "taken back, not failed");
}

fn a_panic_after_writing_sends_no_partial_reply<S: UdpServer>() {
    let server = S::builder().at_most(1).serving(|bytes, _, socket| {
        socket.writer().write_all(bytes)?;
        assert_ne!(bytes, b"half of it", "as asked");
        Ok(())
    });
    let client = Client::of(server.local_addr());
    client.send(b"half of it");
    assert_eq!(client.ask(b"all of it"), b"all of it", "the only reply");
    assert_eq!(server.stop().stats.panicked, 1, "the other");
    client.expect_silence();
}

fn what_was_written_for_one_is_never_sent_to_the_next<S: UdpServer>() {
    let server = S::builder().at_most(1).serving(|bytes, _, socket| {
        match bytes {
            b"fail" | b"panic" => socket.writer().write_all(b"a secret")?,
            _ => {}
        }
        match bytes {
            b"fail" => Err("as asked".into()),
            b"panic" => panic!("as asked"),
            b"silence" => Ok(()),
            _ => Ok(socket.writer().write_all(bytes)?),
        }
    });
    let (other, client) = (
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    );
    for fault in [&b"fail"[..], b"panic"] {
        other.send(fault);
        client.send(b"silence");
        assert_eq!(client.ask(b"mine"), b"mine", "and no secret");
    }
    server.stop();
    client.expect_silence();
    other.expect_silence();
}

/// The most that IPv4 carries in a datagram.
pub(crate) const LONGEST: usize = 65_507;

fn a_writer_takes_the_longest_reply_and_not_a_byte_more<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |_, _, socket| {
        let mut writer = socket.writer();
        writer.write_all(&vec![b'x'; LONGEST])?;
        writer.write_all(b"")?;
        tell.send(())?;
        Ok(())
    });
    let client = Client::of(server.local_addr());
    client.send(b"the longest, please");
    assert_eq!(client.receive().len(), LONGEST, "it fits");
    told.recv_timeout(DEADLINE).expect("no write failed");
    assert_eq!(server.stop().stats.replies.failed.total(), 0);
}

fn an_overlong_reply_sends_nothing_even_if_the_handler_goes_on<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::builder().at_most(1).serving(move |bytes, _, socket| {
        if bytes != b"too long" {
            return Ok(socket.reply(bytes)?);
        }
        let mut writer = socket.writer();
        writer.write_all(&vec![b'x'; LONGEST])?;
        let error = writer.write_all(b"y").expect_err("one byte too many");
        tell.send((error.kind(), error.to_string()))?;
        // A handler that does not look goes on, and succeeds.
        let _ = writer.write_all(b"z");
        Ok(())
    });
    let client = Client::of(server.local_addr());
    client.send(b"too long");
    assert_eq!(client.ask(b"short"), b"short", "the only reply");
    let (kind, text) = told.recv_timeout(DEADLINE).expect("the write failed");
    assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
    let stats = server.stop().stats;
    client.expect_silence();
    assert_eq!(stats.replies.failed.too_long, 1, "counted once");
    assert_eq!(stats.replies.failed.total(), 1, "under one reason");
}

fn a_reply_made_before_an_error_goes_out<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        socket.reply(bytes)?;
        Err("afterwards".into())
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"before"), b"before");
    assert_eq!(server.stop().stats.failed, 1, "failed all the same");
}

fn a_reply_made_before_a_panic_goes_out<S: UdpServer>() {
    let server = S::serving(|bytes, _, socket| {
        socket.reply(bytes)?;
        panic!("afterwards");
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"before"), b"before");
    assert_eq!(server.stop().stats.panicked, 1, "panicked all the same");
}

fn an_oversize_reply_is_refused_at_once_and_its_neighbours_are_sent<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |_, _, socket| {
        socket.reply(b"before")?;
        tell.send(socket.reply(&vec![b'x'; LONGEST + 1]))?;
        Ok(socket.reply(b"after")?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"three");
    client.expect_reply(b"before");
    client.expect_reply(b"after");
    match told.recv_timeout(DEADLINE).expect("told") {
        Err(SendError::TooLong { len, max, to }) => {
            assert_eq!((len, max, to), (LONGEST + 1, LONGEST, client.addr()));
        }
        other => panic!("not {other:?}"),
    }
    let stats = server.stop().stats;
    client.expect_silence();
    assert_eq!(stats.replies.failed.too_long, 1, "counted");
    assert_eq!(stats.replies.sent, 2, "the others were sent");
}

fn the_largest_reply_is_sent<S: UdpServer>() {
    let server = S::serving(|_, _, socket| Ok(socket.reply(&vec![b'x'; LONGEST])?));
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"the longest").len(), LONGEST);
}

fn addresses_that_cannot_be_sent_to_are_refused_at_once<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |bytes, mut addr, socket| {
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
        tell.send(socket.send_to(b"?", v6))?;
        addr.set_port(0);
        tell.send(socket.send_to(b"?", addr))?;
        Ok(socket.reply(bytes)?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"and this one?"), b"and this one?");
    let family = told.recv_timeout(DEADLINE).expect("told");
    assert!(
        matches!(family, Err(SendError::AddressFamily { .. })),
        "not {family:?}"
    );
    let port = told.recv_timeout(DEADLINE).expect("told");
    assert!(
        matches!(port, Err(SendError::PortZero { .. })),
        "not {port:?}"
    );
    let stats = server.stop().stats;
    assert_eq!(stats.replies.failed.bad_address, 2, "both counted");
    assert_eq!(stats.handled, 1, "the handler's own affair");
}

/// Sending to a broadcast address without leave fails in the kernel, after the
/// handler has gone on.
#[cfg(target_os = "linux")]
fn a_send_that_fails_later_costs_its_neighbours_nothing<S: UdpServer>() {
    let nowhere = SocketAddr::from(([127, 255, 255, 255], 9));
    let server = S::serving(move |_, _, socket| {
        socket.reply(b"first")?;
        socket.send_to(b"lost", nowhere)?;
        socket.reply(b"third")?;
        socket.send_to(b"lost", nowhere)?;
        Ok(socket.reply(b"fifth")?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"five");
    for expected in [&b"first"[..], b"third", b"fifth"] {
        client.expect_reply(expected);
    }
    let replies = server.stop().stats.replies;
    assert_eq!(replies.failed.not_permitted, 2, "by their reason");
    assert_eq!(replies.failed.total(), 2, "once each");
    assert_eq!(replies.sent, 3, "the others");
}

/// Other systems judge a broadcast on loopback differently.
#[cfg(not(target_os = "linux"))]
fn a_send_that_fails_later_costs_its_neighbours_nothing<S: UdpServer>() {}

fn try_send_to_returns_the_kernels_answer<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |bytes, addr, socket| {
        let too_long = socket.try_send_to(&vec![b'x'; LONGEST + 1], addr);
        tell.send(too_long.is_err())?;
        Ok(socket.try_send_to(bytes, addr)?)
    });
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"now"), b"now", "sent at once");
    let refused = told.recv_timeout(DEADLINE).expect("told");
    assert!(refused, "the kernel says no to 65,508 bytes");
    let replies = server.stop().stats.replies;
    assert_eq!((replies.sent, replies.failed.too_long), (1, 1), "counted");
}

fn send_to_reaches_somebody_else<S: UdpServer>() {
    let listener = UdpSocket::bind(ANY_PORT).expect("bound");
    listener
        .set_read_timeout(Some(DEADLINE))
        .expect("a timeout");
    let somebody = listener.local_addr().expect("bound");
    let server = S::serving(move |bytes, _, socket| Ok(socket.send_to(bytes, somebody)?));
    let client = Client::of(server.local_addr());
    client.send(b"pass it on");
    let mut buffer = [0; 64];
    let (len, from) = listener.recv_from(&mut buffer).expect("passed on");
    assert_eq!(&buffer[..len], b"pass it on");
    assert_eq!(from, server.local_addr(), "from the server's port");
    server.stop();
    client.expect_silence();
}

fn replies_to_one_peer_keep_their_order<S: UdpServer>() {
    // More than one batch of replies holds, less than a client's buffer does.
    const REPLIES: u8 = 150;
    let server = S::serving(|_, _, socket| {
        for number in 0..REPLIES {
            match number % 2 {
                0 => socket.reply(&[number])?,
                _ => socket.send_to(&[number], socket.detach().peer_addr())?,
            }
        }
        Ok(socket.writer().write_all(&[REPLIES])?)
    });
    let client = Client::of(server.local_addr());
    client.send(b"count");
    for number in 0..=REPLIES {
        client.expect_reply(&[number]);
    }
}

fn a_reply_made_before_blocking_arrives_while_the_handler_is_blocked<S: UdpServer>() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = S::serving(move |_, _, socket| {
        socket.reply(b"wait, please")?;
        held.pass();
        Ok(socket.reply(b"done")?)
    });
    let _open = gate.open_on_drop();
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"work"), b"wait, please", "at once");
    gate.wait_for(1);
    client.expect_silence();
    gate.open();
    client.expect_reply(b"done");
}

fn the_reply_comes_from_the_address_that_was_asked<S: UdpServer>() {
    // All of 127.0.0.0/8 is loopback on Linux; elsewhere only the first address.
    let ip = if cfg!(target_os = "linux") { 3 } else { 1 };
    let server = S::builder()
        .bind_fn(format!("127.0.0.{ip}:0"), crate::support::echo)
        .expect("bound");
    let server = TestServer::spawn(server);
    let client = Client::of(server.local_addr());
    client.send(b"who?");
    let (_, from) = client.receive_from();
    assert_eq!(from, server.local_addr(), "not from another address");
}

fn a_detached_handle_replies_from_another_thread<S: UdpServer>() {
    let (tell, told) = mpsc::channel::<(DetachedHandle, Vec<u8>)>();
    let answering = thread::spawn(move || {
        for (handle, question) in told {
            handle.reply(&question).expect("the server serves");
        }
    });
    let server = S::serving(move |bytes, _, socket| {
        tell.send((socket.detach(), bytes.to_vec()))?;
        Ok(())
    });
    let clients = [
        Client::of(server.local_addr()),
        Client::of(server.local_addr()),
    ];
    clients[0].send(b"later, first");
    clients[1].send(b"later, second");
    clients[1].expect_reply(b"later, second");
    clients[0].expect_reply(b"later, first");
    assert_eq!(server.stop().stats.replies.sent, 2, "counted as well");
    answering.join().expect("every reply was sent");
}

fn a_detached_handle_is_closed_with_its_server_and_keeps_no_port<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |_, _, socket| Ok(tell.send(socket.detach())?));
    let client = Client::of(server.local_addr());
    let addr = server.local_addr();
    client.send(b"keep it");
    let handle = told.recv_timeout(DEADLINE).expect("detached");
    assert_eq!(handle.peer_addr(), client.addr(), "the peer");
    assert_eq!(handle.local_addr(), addr, "the server");
    server.stop();
    for handle in [handle.clone(), handle] {
        let late = handle.reply(b"too late");
        assert!(matches!(late, Err(SendError::Closed)), "not {late:?}");
    }
    UdpSocket::bind(addr).expect("the port is free");
    client.expect_silence();
}

fn a_detached_handle_refuses_what_cannot_be_sent<S: UdpServer>() {
    let (tell, told) = mpsc::channel();
    let server = S::serving(move |_, _, socket| Ok(tell.send(socket.detach())?));
    let client = Client::of(server.local_addr());
    client.send(b"keep it");
    let handle = told.recv_timeout(DEADLINE).expect("detached");
    let long = handle.reply(&vec![b'x'; LONGEST + 1]);
    assert!(
        matches!(long, Err(SendError::TooLong { .. })),
        "not {long:?}"
    );
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
    let family = handle.send_to(b"?", v6);
    assert!(
        matches!(family, Err(SendError::AddressFamily { .. })),
        "not {family:?}"
    );
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let port = handle.send_to(b"?", nobody);
    assert!(
        matches!(port, Err(SendError::PortZero { .. })),
        "not {port:?}"
    );
    assert_eq!(server.stop().stats.replies.failed.total(), 3, "counted");
    client.expect_silence();
}
