//! How what a server sends leaves: marked, with a hop limit, by an interface.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socketserver::{
    Builder, DetachedHandle, Ecn, HandlerError, Interface, SendError, SendOptions, SocketHandle,
    ThreadingUdpServer,
};

use crate::support::{ANY_PORT, DEADLINE, TestServer};

const WILDCARDS: [(&str, &str); 3] = [
    ("0.0.0.0:0", "127.0.0.1"),
    ("[::]:0", "127.0.0.1"),
    ("[::]:0", "::1"),
];

fn builder() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder().only_v6(false)
}

/// A client that looks at the headers of what it gets.
struct Observer {
    socket: UdpSocket,
}

/// Bytes, traffic class and hop limit.
type Seen = (Vec<u8>, u8, u8);

impl Observer {
    /// One that talks to the server at this address of the host alone.
    #[track_caller]
    fn of(ip: &str, port: u16) -> Self {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        let own = match ip.is_ipv4() {
            true => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            false => SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        };
        let socket = UdpSocket::bind(own).expect("a client's socket");
        let patience = Some(DEADLINE / 2);
        socket.set_read_timeout(patience).expect("not zero");
        socket.connect((ip, port)).expect("loopback");
        if ip.is_ipv4() {
            setsockopt(&socket, sockopt::IpRecvTos, &true).expect("an option of IPv4");
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true).expect("an option of IPv4");
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvTClass, &true).expect("an option of IPv6");
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true).expect("an option of IPv6");
        }
        Self { socket }
    }

    #[track_caller]
    fn ask(&self, bytes: &[u8]) -> Seen {
        self.socket.send(bytes).expect("loopback");
        self.receive()
    }

    #[track_caller]
    fn receive(&self) -> Seen {
        let mut buffer = [0; 2_048];
        let mut vectors = [IoSliceMut::new(&mut buffer)];
        let mut room = cmsg_space!(i32, i32);
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::empty();
        let message = recvmsg::<SockaddrStorage>(fd, &mut vectors, Some(&mut room), flags);
        let message = message.expect("an answer");
        let (mut class, mut hops) = (None, None);
        for said in message.cmsgs().expect("whole messages") {
            match said {
                ControlMessageOwned::Ipv4Tos(tos) => class = Some(tos),
                ControlMessageOwned::Ipv6TClass(number) => class = u8::try_from(number).ok(),
                ControlMessageOwned::Ipv4Ttl(number)
                | ControlMessageOwned::Ipv6HopLimit(number) => hops = u8::try_from(number).ok(),
                _ => {}
            }
        }
        let len = message.bytes;
        let (class, hops) = (class.expect("asked for"), hops.expect("asked for"));
        (buffer[..len].to_vec(), class, hops)
    }
}

#[track_caller]
fn serve(
    builder: Builder<ThreadingUdpServer>,
    addr: &str,
    f: impl Fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> TestServer {
    TestServer::spawn(builder.bind_fn(addr, f).expect("bound"))
}

#[test]
fn the_servers_marks_are_on_all_that_it_sends() {
    let builder = || builder().dscp(46).hop_limit(255);
    for (addr, ip) in WILDCARDS {
        let server = serve(builder(), addr, |bytes, _, socket| Ok(socket.reply(bytes)?));
        let observer = Observer::of(ip, server.local_addr().port());
        let expected = (b"marked?".to_vec(), 46 << 2, 255);
        assert_eq!(observer.ask(b"marked?"), expected, "{ip} at {addr}");
    }
}

#[test]
fn the_servers_marks_are_on_what_each_of_its_sockets_sends() {
    let builder = ThreadingUdpServer::builder().dscp(46).hop_limit(255);
    let addrs = [ANY_PORT, "[::1]:0", "127.0.0.2:0"];
    let server = builder.bind_all_fn(addrs, |bytes, _, socket| Ok(socket.reply(bytes)?));
    let server = TestServer::spawn(server.expect("bound"));
    for addr in server.local_addrs() {
        let observer = Observer::of(&addr.ip().to_string(), addr.port());
        let expected = (b"marked?".to_vec(), 46 << 2, 255);
        assert_eq!(observer.ask(b"marked?"), expected, "{addr}");
    }
}

/// Sends the same in each way that takes options, and one without.
fn answer_in_every_way(
    bytes: &[u8],
    addr: SocketAddr,
    socket: &SocketHandle,
) -> Result<(), HandlerError> {
    let options = SendOptions::new().dscp(10).ecn(Ecn::Ect0).hop_limit(7);
    socket.reply(bytes)?;
    socket.reply_with(bytes, &options)?;
    socket.send_to_with(bytes, addr, &options)?;
    socket.reply_with(bytes, &options)?;
    socket.try_reply_with(bytes, &options)?;
    socket.try_send_to_with(bytes, addr, &options)?;
    let detached: DetachedHandle = socket.detach();
    detached.reply_with(bytes, &options)?;
    detached.send_to_with(bytes, addr, &options)?;
    Ok(socket.reply(bytes)?)
}

/// The clients are connected: so all of it leaves from the address that was asked.
#[test]
fn options_of_a_datagram_are_its_own_whichever_way_it_is_sent() {
    for (addr, ip) in WILDCARDS {
        let server = serve(builder().dscp(46).workers(1), addr, answer_in_every_way);
        let ip = if ip == "127.0.0.1" { "127.0.0.2" } else { ip };
        let observer = Observer::of(ip, server.local_addr().port());
        observer.socket.send(b"all").expect("loopback");
        let answers: Vec<_> = (0..9).map(|_| observer.receive()).collect();
        let system = answers[0].2;
        assert_eq!(answers[0], (b"all".to_vec(), 46 << 2, system));
        for answer in &answers[1..8] {
            assert_eq!(
                *answer,
                (b"all".to_vec(), 10 << 2 | 0b10, 7),
                "{ip} at {addr}"
            );
        }
        assert_eq!(answers[8], answers[0], "and no other's");
        assert_eq!(server.stop().stats.replies.sent, 9);
    }
}

#[test]
fn a_datagram_with_a_word_on_congestion_alone_keeps_the_servers_class() {
    let server = serve(builder().dscp(46), "0.0.0.0:0", |bytes, _, socket| {
        Ok(socket.reply_with(bytes, &SendOptions::new().ecn(Ecn::Ect1))?)
    });
    let observer = Observer::of("127.0.0.1", server.local_addr().port());
    assert_eq!(observer.ask(b"marked?").1, 46 << 2 | 0b01);
}

#[test]
fn marks_keep_replies_of_one_batch_apart_and_in_order() {
    const EACH: u8 = 8;
    let server = serve(builder().workers(1), "0.0.0.0:0", |_, _, socket| {
        for number in 0..EACH * 3 {
            let options = SendOptions::new().dscp(number / EACH);
            socket.reply_with(&[number], &options)?;
        }
        Ok(())
    });
    let observer = Observer::of("127.0.0.1", server.local_addr().port());
    observer.socket.send(b"count").expect("loopback");
    for number in 0..EACH * 3 {
        let (bytes, class, _) = observer.receive();
        assert_eq!((bytes, class), (vec![number], (number / EACH) << 2));
    }
}

#[test]
fn an_interface_that_is_none_is_told_by_the_kernel() {
    let (tell, told) = mpsc::channel();
    let server = serve(builder(), "0.0.0.0:0", move |bytes, _, socket| {
        let options = SendOptions::new().interface(u32::MAX >> 1);
        tell.send(socket.try_reply_with(bytes, &options))?;
        let here = SendOptions::new().interface(socket.meta().interface().unwrap_or(0));
        Ok(socket.reply_with(bytes, &here)?)
    });
    let observer = Observer::of("127.0.0.2", server.local_addr().port());
    assert_eq!(observer.ask(b"which?").0, b"which?", "by its own interface");
    match told.recv_timeout(DEADLINE).expect("told") {
        Err(SendError::Refused { cause, .. }) => assert_ne!(cause.kind(), ErrorKind::WouldBlock),
        other => panic!("not {other:?}"),
    }
}

#[test]
fn options_that_make_no_sense_are_refused_and_counted() {
    let (tell, told) = mpsc::channel();
    let server = serve(builder(), ANY_PORT, move |bytes, addr, socket| {
        let nonsense = [
            SendOptions::new().dscp(64),
            SendOptions::new().hop_limit(0),
            SendOptions::new().dont_fragment(true),
        ];
        for options in nonsense {
            tell.send([
                socket.reply_with(bytes, &options),
                socket.send_to_with(bytes, addr, &options),
                socket.try_reply_with(bytes, &options),
                socket.try_send_to_with(bytes, addr, &options),
                socket.detach().reply_with(bytes, &options),
            ])?;
        }
        Ok(())
    });
    let client = UdpSocket::bind(ANY_PORT).expect("a client's socket");
    client.send_to(b"?", server.local_addr()).expect("loopback");
    for expected in ["dscp", "hop_limit", "dont_fragment"] {
        for refused in told.recv_timeout(DEADLINE).expect("told") {
            match refused {
                Err(SendError::Config(error)) => assert_eq!(error.option, expected),
                other => panic!("not {other:?}"),
            }
        }
    }
    let replies = server.stop().stats.replies;
    assert_eq!((replies.sent, replies.failed.other), (0, 15), "each once");
}

#[test]
fn options_of_the_server_that_make_no_sense_are_refused_at_bind() {
    let nowhere = Interface::Name("no-such-interface".to_owned());
    let address = Interface::Address(Ipv4Addr::LOCALHOST);
    for (builder, expected) in [
        (builder().dscp(64), "dscp: 64 is not between 0 and 63"),
        (
            builder().hop_limit(0),
            "hop_limit: 0 lets nothing leave this host",
        ),
        (
            builder().unicast_interface(nowhere),
            "unicast_interface: there is no interface \"no-such-interface\"",
        ),
        (
            builder().unicast_interface(address),
            "unicast_interface: the interface of 127.0.0.1: it is told by its index or name",
        ),
    ] {
        let server = builder.bind_fn(ANY_PORT, |_, _, _| Ok(()));
        assert_eq!(server.expect_err(expected).to_string(), expected);
    }
}

/// Loopback's MTU is 65,536: over IPv4, a datagram that UDP can carry is never
/// longer.
#[test]
fn what_must_not_be_fragmented_and_is_too_long_is_told() {
    const LONGEST_WHOLE: usize = 65_536 - 40 - 8;
    let (tell, told) = mpsc::channel();
    let server = serve(builder(), "[::]:0", move |_, _, socket| {
        let whole = SendOptions::new().dont_fragment(true);
        let [fits, longer] = [vec![1; LONGEST_WHOLE], vec![1; LONGEST_WHOLE + 1]];
        tell.send([
            socket.reply_with(&longer, &whole),
            socket.try_reply_with(&longer, &whole),
            socket.detach().reply_with(&longer, &whole),
        ])?;
        socket.reply_with(&fits, &whole)?;
        Ok(socket.reply(&longer)?)
    });
    let client = UdpSocket::bind("[::1]:0").expect("a client's socket");
    client.set_read_timeout(Some(DEADLINE)).expect("not zero");
    client
        .send_to(b"?", ("::1", server.local_addr().port()))
        .expect("loopback");
    for refused in told.recv_timeout(DEADLINE).expect("told") {
        match refused {
            Err(SendError::Refused { cause, .. }) => {
                let errno = cause.raw_os_error().map(Errno::from_raw);
                assert_eq!(errno, Some(Errno::EMSGSIZE));
            }
            other => panic!("not {other:?}"),
        }
    }
    let mut buffer = vec![0; 65_536];
    for len in [LONGEST_WHOLE, LONGEST_WHOLE + 1] {
        assert_eq!(client.recv(&mut buffer).expect("an answer"), len);
    }
    assert_eq!(server.stop().stats.replies.failed.too_long, 3);
}

/// Also from another thread, once the handler has returned.
#[test]
fn replies_by_the_interface_that_was_asked_arrive_on_whatever_server() {
    for (addr, ip) in [
        ("0.0.0.0:0", "127.0.0.2"),
        (ANY_PORT, "127.0.0.1"),
        ("[::]:0", "::1"),
    ] {
        let builder = builder().reply_by_interface(true);
        let server = serve(builder, addr, |bytes, _, socket| {
            let (detached, copy) = (socket.detach(), bytes.to_vec());
            socket.reply(bytes)?;
            thread::spawn(move || detached.reply(&copy))
                .join()
                .expect("no panic")?;
            Ok(())
        });
        let observer = Observer::of(ip, server.local_addr().port());
        assert_eq!(observer.ask(b"back").0, b"back", "{ip} at {addr}");
        assert_eq!(observer.receive().0, b"back", "{ip} at {addr}");
        assert_eq!(server.stop().stats.replies.failed.total(), 0);
    }
}
