//! What a handler is told of a datagram beside its bytes and its sender, and what
//! is not asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, SystemTime};

use nix::sys::socket::{setsockopt, sockopt};
use socketserver::{
    Builder, DatagramMeta, Destination, Ecn, Interface, Refusal, SocketHandle, ThreadingUdpServer,
};

use crate::support::{ANY_PORT, Client, DEADLINE, TestServer, wait_until};

/// Administratively scoped (RFC 2365): no router lets them out.
const GROUPS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(239, 255, 70, 90),
    Ipv4Addr::new(239, 255, 70, 91),
];
/// The loopback interface, in every network namespace of Linux.
const LO: u32 = 1;

fn builder() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder()
}

/// Everything that can be asked for.
fn all(builder: Builder<ThreadingUdpServer>) -> Builder<ThreadingUdpServer> {
    builder
        .receive_time(true)
        .receive_interface(true)
        .receive_hop_limit(true)
        .receive_traffic_class(true)
}

/// A server that tells what its handlers are told.
struct Witness {
    server: TestServer,
    told: Receiver<DatagramMeta>,
}

impl Witness {
    #[track_caller]
    fn at(addr: &str, builder: Builder<ThreadingUdpServer>) -> Self {
        let (tell, told) = mpsc::channel();
        let handler = move |_: &[u8], _: SocketAddr, socket: &SocketHandle| {
            assert_eq!(socket.meta(), socket.detach().meta(), "also when detached");
            Ok(tell.send(socket.meta())?)
        };
        let server = builder.bind_fn(addr, handler).expect("bound");
        let server = TestServer::spawn(server);
        Self { server, told }
    }

    /// What the server says of a datagram from this client to one of its addresses.
    #[track_caller]
    fn says_of(&self, client: &Client, to: impl Into<IpAddr>) -> DatagramMeta {
        let port = self.server.local_addr().port();
        client.send_to(b"what am I?", SocketAddr::new(to.into(), port));
        self.told.recv_timeout(DEADLINE).expect("it came")
    }
}

fn v4_client() -> Client {
    let client = Client::at(ANY_PORT, SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
    setsockopt(&client, sockopt::Broadcast, &true).expect("a flag");
    client
}

fn v6_client() -> Client {
    Client::at("[::1]:0", SocketAddr::from((Ipv6Addr::LOCALHOST, 9)))
}

#[test]
fn the_destination_and_its_kind_are_told_on_a_wildcard_without_being_asked_for() {
    let lo = || Interface::Index(LO);
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let builder = builder()
            .only_v6(false)
            .join_multicast(GROUPS[0].into(), lo())
            .join_multicast(GROUPS[1].into(), lo());
        let witness = Witness::at(wildcard, builder);
        let client = v4_client();
        for (to, kind) in [
            (Ipv4Addr::LOCALHOST, Destination::Unicast as fn(IpAddr) -> _),
            (Ipv4Addr::new(127, 0, 0, 2), Destination::Unicast),
            (Ipv4Addr::new(127, 255, 255, 255), Destination::Broadcast),
            (GROUPS[0], Destination::Multicast),
            (GROUPS[1], Destination::Multicast),
        ] {
            let meta = witness.says_of(&client, to);
            assert_eq!(meta.destination(), Some(kind(to.into())), "at {wildcard}");
            assert_eq!(meta.interface(), Some(LO), "{to} at {wildcard}");
        }
    }
}

#[test]
fn an_ipv6_destination_is_told() {
    let witness = Witness::at("[::]:0", builder());
    let meta = witness.says_of(&v6_client(), Ipv6Addr::LOCALHOST);
    let here = Destination::Unicast(Ipv6Addr::LOCALHOST.into());
    assert_eq!(meta.destination(), Some(here));
    assert_eq!(meta.interface(), Some(LO));
}

#[test]
fn a_server_bound_to_one_address_knows_its_destination_and_the_interface_if_asked() {
    for (addr, client) in [(ANY_PORT, v4_client()), ("[::1]:0", v6_client())] {
        let ip = client.addr().ip();
        let unasked = Witness::at(addr, builder()).says_of(&client, ip);
        let here = Some(Destination::Unicast(ip));
        assert_eq!(unasked.destination(), here);
        assert_eq!(unasked.interface(), None, "it was not asked for");
        let asked = Witness::at(addr, builder().receive_interface(true)).says_of(&client, ip);
        assert_eq!((asked.destination(), asked.interface()), (here, Some(LO)));
    }
}

#[test]
fn what_was_not_asked_for_is_not_told() {
    for addr in [ANY_PORT, "0.0.0.0:0"] {
        let meta = Witness::at(addr, builder()).says_of(&v4_client(), Ipv4Addr::LOCALHOST);
        assert_eq!((meta.received_at(), meta.age()), (None, None));
        assert_eq!(
            (meta.hop_limit(), meta.dscp(), meta.ecn()),
            (None, None, None)
        );
    }
}

#[test]
fn the_hop_limit_is_told_in_both_families() {
    let witness = Witness::at("[::]:0", builder().only_v6(false).receive_hop_limit(true));
    let only_v4 = Witness::at(ANY_PORT, builder().receive_hop_limit(true));
    let (v4, v6) = (v4_client(), v6_client());
    for hops in [255, 64, 1] {
        setsockopt(&v4, sockopt::Ipv4Ttl, &hops).expect("an option of IPv4");
        setsockopt(&v6, sockopt::Ipv6Ttl, &hops).expect("an option of IPv6");
        let expected = u8::try_from(hops).ok();
        let here = Ipv4Addr::LOCALHOST;
        assert_eq!(witness.says_of(&v4, here).hop_limit(), expected, "mapped");
        assert_eq!(only_v4.says_of(&v4, here).hop_limit(), expected);
        let here = Ipv6Addr::LOCALHOST;
        assert_eq!(witness.says_of(&v6, here).hop_limit(), expected);
    }
}

#[test]
fn the_traffic_class_is_told_in_both_families() {
    let builder = || builder().only_v6(false).receive_traffic_class(true);
    let witness = Witness::at("[::]:0", builder());
    let (v4, v6) = (v4_client(), v6_client());
    for (class, dscp, ecn) in [
        (46 << 2, 46, Ecn::NotEct),
        ((46 << 2) | 1, 46, Ecn::Ect1),
        (2, 0, Ecn::Ect0),
        (0xff, 63, Ecn::Ce),
    ] {
        setsockopt(&v4, sockopt::Ipv4Tos, &class).expect("an option of IPv4");
        setsockopt(&v6, sockopt::Ipv6TClass, &class).expect("an option of IPv6");
        for (client, to) in [
            (&v4, IpAddr::from(Ipv4Addr::LOCALHOST)),
            (&v6, IpAddr::from(Ipv6Addr::LOCALHOST)),
        ] {
            let meta = witness.says_of(client, to);
            let told = (meta.dscp(), meta.ecn());
            assert_eq!(told, (Some(dscp), Some(ecn)), "{class:#b} to {to}");
        }
    }
}

/// Each datagram waits in the kernel until a server begins to serve. The first
/// socket that asks for it has the kernel stamp what comes in some moments later
/// (net/core/dev.c, `net_enable_timestamp`); until then it stamps what is read.
#[test]
fn the_time_of_receipt_is_the_kernels_and_not_the_handlers() {
    const WAIT: Duration = Duration::from_millis(50);
    let _asks = Witness::at(ANY_PORT, builder().receive_time(true));
    wait_until("the kernel stamps what comes in", || {
        let (tell, told) = mpsc::channel();
        let server = builder()
            .receive_time(true)
            .bind_fn(ANY_PORT, move |_, _, socket| {
                let now = SystemTime::now();
                Ok(tell.send((socket.meta(), now, socket.meta().age()))?)
            });
        let server = server.expect("bound");
        Client::of(server.local_addr()).send(b"at what time?");
        let sent = SystemTime::now();
        wait_until("it has waited", || SystemTime::now() >= sent + WAIT);
        let _server = TestServer::spawn(server);
        let (meta, handled, age) = told.recv_timeout(DEADLINE).expect("it came");
        let waited = handled.duration_since(sent).expect("one after the other");
        assert!(waited >= WAIT, "{waited:?}");
        // Loopback delivers before the send returns.
        meta.received_at().expect("it was asked for") <= sent && age >= Some(waited)
    });
}

#[test]
fn what_is_known_goes_along_through_lanes_and_coalesced_receives() {
    let client = v4_client();
    setsockopt(&client, sockopt::Ipv4Ttl, &77).expect("an option of IPv4");
    setsockopt(&client, sockopt::Ipv4Tos, &0xb8).expect("an option of IPv4");
    for builder in [
        builder().order_per_peer(true),
        builder().coalesce_receives(true),
        builder().shed_older_than(Duration::from_secs(60)),
    ] {
        let witness = Witness::at("0.0.0.0:0", all(builder));
        let to = Ipv4Addr::new(127, 0, 0, 3);
        let meta = witness.says_of(&client, to);
        assert_eq!(meta.destination(), Some(Destination::Unicast(to.into())));
        assert_eq!(meta.interface(), Some(LO));
        assert_eq!((meta.hop_limit(), meta.dscp()), (Some(77), Some(46)));
        assert!(meta.age().is_some());
    }
}

#[test]
fn of_each_socket_of_a_server_everything_is_known() {
    let (tell, told) = mpsc::channel();
    let addrs = [ANY_PORT, "[::1]:0", "127.0.0.2:0"];
    let server =
        all(builder()).bind_all_fn(addrs, move |_, _, socket| Ok(tell.send(socket.meta())?));
    let server = TestServer::spawn(server.expect("bound"));
    for addr in server.local_addrs() {
        Client::of(addr).send(b"what am I?");
        let meta = told.recv_timeout(DEADLINE).expect("it came");
        assert_eq!(meta.destination(), Some(Destination::Unicast(addr.ip())));
        assert_eq!(meta.interface(), Some(LO), "{addr}");
        assert_eq!((meta.dscp(), meta.ecn()), (Some(0), Some(Ecn::NotEct)));
        assert!(meta.hop_limit().is_some(), "{addr}");
        assert!(meta.received_at().is_some(), "{addr}");
    }
}

#[test]
fn a_hook_refuses_by_what_is_known_of_the_datagram() {
    let server = builder()
        .receive_hop_limit(true)
        .verify_with_meta(|bytes, _, meta| bytes == b"?" && meta.hop_limit() == Some(255))
        .bind_fn(ANY_PORT, |bytes, _, socket| Ok(socket.reply(bytes)?));
    let server = TestServer::spawn(server.expect("bound"));
    let client = Client::of(server.local_addr());
    client.send(b"?");
    server.wait_until_settled(1);
    setsockopt(&client, sockopt::Ipv4Ttl, &255).expect("an option of IPv4");
    assert_eq!(client.ask(b"?"), b"?", "the second one");
    let stats = server.stop().stats;
    assert_eq!((stats.handled, stats.refused.by(Refusal::Verify)), (1, 1));
}
