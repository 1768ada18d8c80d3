//! Sockets that are set up in an unusual way before they are bound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nix::sys::socket::{SockaddrIn, getsockname, getsockopt, sockopt};
use socketserver::{Builder, ChangeError, Interface, ServerHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::support::{ANY_PORT, Client, TestServer, echo, wait_until};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::FastPath] => {
            a_server_of_one_device_hears_and_answers_there_alone,
            a_server_waits_at_an_address_that_comes_later,
            marks_priorities_and_what_users_set_are_on_every_socket,
        }
        &[Need::Root, Need::Tool("ip")] => {
            a_port_that_the_system_chooses_is_nobody_elses,
            a_port_for_several_addresses_is_drawn_again_where_one_of_them_has_it_taken,
            groups_wait_for_their_interface_and_follow_it,
            a_group_joined_on_all_interfaces_is_heard_on_each,
            of_an_ipv6_group_joined_for_one_source_no_other_is_heard,
        }
        &[Need::Root] => {
            a_privileged_server_has_the_receive_buffer_that_it_asks_for,
            a_privileged_server_has_the_send_buffer_that_it_asks_for,
        }
    }
}

const SHARDS: usize = 4;

fn sharded() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder().shards(SHARDS)
}

/// Serves in a network namespace.
#[track_caller]
fn serve_in(
    namespace: &Namespace,
    addr: &'static str,
    builder: Builder<ThreadingUdpServer>,
) -> TestServer {
    let server = namespace.run(move || builder.bind_fn(addr, echo));
    TestServer::spawn(server.expect("it is bound"))
}

fn a_server_of_one_device_hears_and_answers_there_alone() {
    let (here, there) = Namespace::pair();
    let server = serve_in(&here, "0.0.0.0:7000", sharded().device("veth"));
    let far = there.run(|| Client::at("10.0.0.2:0", "10.0.0.1:7000".parse().expect("valid")));
    let near = here.run(|| Client::at(ANY_PORT, "127.0.0.1:7000".parse().expect("valid")));
    near.send(b"by another device");
    for _ in 0..20 {
        assert_eq!(far.ask(b"hello"), b"hello");
    }
    assert_eq!(server.stop().stats.received, 20);
    near.expect_silence();
    let none = here.run(|| sharded().device("nothing").bind_fn(ANY_PORT, echo));
    assert_eq!(
        none.expect_err("no such device").to_string(),
        "device: the system refuses: No such device (os error 19)"
    );
}

fn a_server_waits_at_an_address_that_comes_later() {
    let alone = Namespace::new();
    let addr = "10.0.9.9:7000";
    let refused = alone.run(move || sharded().bind_fn(addr, echo));
    refused.expect_err("nobody has this address");
    let server = serve_in(&alone, addr, sharded().freebind(true));
    alone.ip("address add 10.0.9.9/32 dev lo");
    let client = alone.run(move || Client::at(ANY_PORT, addr.parse().expect("valid")));
    assert_eq!(client.ask(b"hello"), b"hello");
    drop(server);
}

fn marks_priorities_and_what_users_set_are_on_every_socket() {
    let alone = Namespace::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let builder = sharded()
        .mark(7)
        .priority(5)
        .configure_socket(move |socket| {
            count.fetch_add(1, Relaxed);
            // Bound later: no address yet.
            let own = getsockname::<SockaddrIn>(std::os::fd::AsRawFd::as_raw_fd(&socket))?;
            assert_eq!(own.port(), 0);
            Ok(nix::sys::socket::setsockopt(
                &socket,
                sockopt::Ipv4Ttl,
                &33,
            )?)
        });
    let server = serve_in(&alone, "127.0.0.1:0", builder);
    assert_eq!(calls.load(Relaxed), SHARDS);
    let plain = serve_in(&alone, "127.0.0.1:0", sharded());
    assert_eq!(
        server.stats().receive_buffer.granted,
        plain.stats().receive_buffer.granted,
        "all else is as ever"
    );
    let sockets = sockets_at(server.local_addr());
    assert_eq!(sockets.len(), SHARDS);
    for socket in sockets {
        // SAFETY: the server keeps it open.
        #[expect(unsafe_code, reason = "a descriptor that the server owns")]
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        assert_eq!(getsockopt(&socket, sockopt::Mark), Ok(7));
        assert_eq!(getsockopt(&socket, sockopt::Priority), Ok(5));
        assert_eq!(getsockopt(&socket, sockopt::Ipv4Ttl), Ok(33));
    }
}

/// The sockets of this process that are bound there. (Each test has a port of its
/// own, and nothing duplicates these.)
fn sockets_at(addr: SocketAddr) -> Vec<RawFd> {
    let open = std::fs::read_dir("/proc/self/fd").expect("proc is mounted");
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_there = |number: &RawFd| {
        let own = getsockname::<SockaddrIn>(*number);
        own.is_ok_and(|own| SocketAddr::from((own.ip(), own.port())) == addr)
    };
    numbers.filter(is_there).collect()
}

fn a_port_that_the_system_chooses_is_nobody_elses() {
    let alone = Namespace::new();
    alone.run(|| {
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, "40000 40003").expect("root may");
        for round in 0..50 {
            let shared = || ThreadingUdpServer::builder().allow_reuse_port(true);
            let reused = || shared().allow_reuse_address(true);
            let servers = [shared(), reused(), reused()]
                .map(|builder| builder.bind_fn(ANY_PORT, echo).expect("there are four"));
            let mut ports = servers.each_ref().map(|server| server.local_addr().port());
            ports.sort_unstable();
            let [one, two, three] = ports;
            assert!(one < two && two < three, "round {round}: {ports:?}");
            // Whoever wants to share one of them still can.
            let partner = shared().bind_fn(servers[0].local_addr(), echo);
            drop(partner.expect("both allow it"));
        }
    });
}

/// Of two ports, one is somebody's at the second address.
fn a_port_for_several_addresses_is_drawn_again_where_one_of_them_has_it_taken() {
    let alone = Namespace::new();
    alone.run(|| {
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, "40000 40001").expect("root may");
        let _taken = UdpSocket::bind("[::1]:40000").expect("it is free");
        // Each time, the first draw is right by half a chance.
        for _ in 0..10 {
            let server = ThreadingUdpServer::builder().bind_all_fn([ANY_PORT, "[::1]:0"], echo);
            let addrs = server.expect("one is free at both").local_addrs();
            assert!(addrs.iter().all(|addr| addr.port() == 40_001), "{addrs:?}");
        }
    });
}

fn groups_wait_for_their_interface_and_follow_it() {
    let (here, there) = (Namespace::new(), Namespace::new());
    let group: IpAddr = [239, 255, 70, 85].into();
    let name = || Interface::Name("v0".to_owned());
    let join = move || ThreadingUdpServer::builder().join_multicast(group, name());
    let refused = here.run(move || join().bind_fn("0.0.0.0:7000", echo));
    assert_eq!(
        refused.expect_err("it is not there").to_string(),
        "join_multicast: 239.255.70.85: there is no interface \"v0\""
    );
    // One that went with its interface must not keep the place.
    here.set("ipv4/igmp_max_memberships", "1");
    // All of it lives there, also the thread that looks for interfaces.
    let server = here.run(move || {
        let server = join().follow_interfaces(true);
        TestServer::spawn(server.bind_fn("0.0.0.0:7000", echo).expect("bound"))
    });
    let has_link = || {
        here.join(&there, "v0");
        here.ip("address add 10.0.1.1/24 dev v0");
        there.ip("address add 10.0.1.2/24 dev v0");
        there.run(|| {
            // What it sends to groups goes out where it is bound.
            Client::at("10.0.1.2:0", "10.0.1.1:7000".parse().expect("valid"))
        })
    };
    let is_heard = |client: &Client, group, when: &str| {
        let before = server.stats().received;
        wait_until(format!("it is heard {when}"), || {
            client.send_to(b"all", SocketAddr::new(group, 7000));
            server.stats().received > before
        });
        // All of it has come.
        asked(client);
    };
    // How much is received of a datagram to the group and one to the server.
    let received_of = |client: &Client| {
        let before = server.stats().received;
        client.send_to(b"all", SocketAddr::new(group, 7000));
        asked(client);
        server.stats().received - before
    };
    for round in 0..3 {
        let client = has_link();
        is_heard(&client, group, &format!("in round {round}"));
        if round == 1 {
            let handle = ServerHandle::clone(&server);
            let left = here.run(move || handle.leave_multicast(group, name()));
            left.expect("it was joined");
            assert_eq!(received_of(&client), 1, "not the group");
            let handle = ServerHandle::clone(&server);
            let joined = here.run(move || handle.join_multicast(group, name()));
            joined.expect("again");
            assert_eq!(received_of(&client), 2, "at once");
        }
        here.ip("link delete v0");
    }
    // Left while its interface is away it does not come back with it.
    let another: IpAddr = [239, 255, 70, 86].into();
    let handle = ServerHandle::clone(&server);
    let changed = here.run(move || {
        handle.leave_multicast(group, name())?;
        handle.join_multicast(another, name())
    });
    changed.expect("when it comes");
    let client = has_link();
    is_heard(&client, another, "in the place of the first");
    assert_eq!(received_of(&client), 1, "not the first");
}

/// Asks the server, and waits until this is answered: what was sent before it has
/// come, if it has come at all.
#[track_caller]
fn asked(client: &Client) {
    client.send(b"one");
    while client.receive_from().0 != b"one" {}
}

/// One of another network joined by a link, and what it sends to groups.
fn neighbour(here: &Namespace, link: &'static str, number: u8) -> (Namespace, Client) {
    let there = Namespace::new();
    here.join(&there, link);
    here.ip(&format!("address add 10.0.{number}.1/24 dev {link}"));
    there.ip(&format!("address add 10.0.{number}.2/24 dev {link}"));
    let client = there.run(move || {
        let server = format!("10.0.{number}.1:7000").parse().expect("valid");
        Client::at(&format!("10.0.{number}.2:0"), server)
    });
    (there, client)
}

fn a_group_joined_on_all_interfaces_is_heard_on_each() {
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 70, 85);
    for follows in [false, true] {
        let here = Namespace::new();
        let all = move || {
            let server = ThreadingUdpServer::builder().follow_interfaces(follows);
            server.join_multicast(GROUP.into(), Interface::All)
        };
        if !follows {
            let refused = here.run(move || all().bind_fn("0.0.0.0:7000", echo));
            assert_eq!(
                refused.expect_err("there is loopback alone").to_string(),
                "join_multicast: 239.255.70.85: of all interfaces, none carries groups"
            );
        }
        let (_v0, first) = neighbour(&here, "v0", 0);
        let (_v1, second) = neighbour(&here, "v1", 1);
        let server = here
            .run(move || TestServer::spawn(all().bind_fn("0.0.0.0:7000", echo).expect("bound")));
        let hears = |client: &Client, whom| {
            let before = server.stats().received;
            wait_until(format!("{whom} is heard"), || {
                client.send_to(b"all", SocketAddr::from((GROUP, 7000)));
                server.stats().received > before
            });
            // Nothing of this is left to be taken for what others send.
            asked(client);
        };
        hears(&first, "the first");
        hears(&second, "the second");
        let (_v2, third) = neighbour(&here, "v2", 2);
        if follows {
            hears(&third, "the third");
        }
        let handle = ServerHandle::clone(&server);
        let left = here.run(move || {
            let twice = handle.join_multicast(GROUP.into(), Interface::All);
            assert!(
                matches!(twice, Err(ChangeError::Membership(_))),
                "{twice:?}"
            );
            handle.leave_multicast(GROUP.into(), Interface::All)
        });
        left.expect("it was joined on all");
        let before = server.stats().received;
        for client in [&first, &second, &third] {
            client.send_to(b"all", SocketAddr::from((GROUP, 7000)));
            asked(client);
        }
        assert_eq!(server.stats().received, before + 3, "left on each");
    }
}

fn of_an_ipv6_group_joined_for_one_source_no_other_is_heard() {
    let (here, there) = Namespace::pair();
    there.add_v6("veth", "fd00::3/64");
    let group: Ipv6Addr = "ff32::1234".parse().expect("valid");
    let one: IpAddr = "fd00::2".parse().expect("valid");
    let on = Interface::Name("veth".to_owned());
    let builder = ThreadingUdpServer::builder().join_multicast_from(group.into(), one, on);
    let server = serve_in(&here, "[::]:7000", builder);
    let [heard, unheard] = ["[fd00::2]:0", "[fd00::3]:0"].map(|own| {
        let server = "[fd00::1]:7000".parse().expect("valid");
        there.run(move || Client::at(own, server))
    });
    let link = there.run(|| nix::net::if_::if_nametoindex("veth"));
    let all = SocketAddrV6::new(group, 7000, 0, link.expect("there is a link"));
    let all = SocketAddr::from(all);
    unheard.send_to(b"to all", all);
    assert_eq!(unheard.ask(b"to one"), b"to one");
    assert_eq!(server.stats().received, 1, "{}", server.stats());
    wait_until("it is heard", || {
        heard.send_to(b"to all", all);
        server.stats().received > 1
    });
    heard.expect_reply(b"to all");
}

fn a_privileged_server_has_the_receive_buffer_that_it_asks_for() {
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").expect("proc is mounted");
    let limit: usize = limit.trim().parse().expect("a number");
    let asked = limit * 2;
    let server = ThreadingUdpServer::builder().receive_buffer(asked);
    let server = server.bind_fn(ANY_PORT, echo).expect("a free port");
    assert_eq!(server.handle().stats().receive_buffer.granted, asked);
}

fn a_privileged_server_has_the_send_buffer_that_it_asks_for() {
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").expect("proc is mounted");
    let limit: usize = limit.trim().parse().expect("a number");
    let asked = limit * 2;
    let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
    let same = socket.try_clone().expect("a descriptor");
    let server = ThreadingUdpServer::builder().send_buffer(asked);
    let _server = server.from_socket(socket, || echo).expect("taken over");
    let size = getsockopt(&same, sockopt::SndBuf).expect("an option");
    assert_eq!(size, 2 * asked, "the kernel doubles it");
}
