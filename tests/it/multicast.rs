//! Groups and broadcasts, heard and sent, on the loopback interface. A socket
//! bound to 127.0.0.1 sends to groups there, whatever the routes say (Linux).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use socketserver::{BindError, Builder, ConfigError, Interface, Refusal, ThreadingUdpServer};

use crate::support::process::is_alone;
use crate::support::{ANY_PORT, Client, TestServer, echo, wait_until};

/// Administratively scoped (RFC 2365): no router lets it out.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 70, 85);
/// Transient and link-local (RFC 4291).
pub(crate) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 0x4655);
pub(crate) const WILDCARD: &str = "0.0.0.0:0";

pub(crate) fn lo() -> Interface {
    Interface::Name("lo".to_owned())
}

pub(crate) fn lo_index() -> u32 {
    nix::net::if_::if_nametoindex("lo").expect("there is a loopback interface")
}

pub(crate) fn builder() -> Builder<ThreadingUdpServer> {
    ThreadingUdpServer::builder()
}

pub(crate) fn serve(builder: Builder<ThreadingUdpServer>, addr: &str) -> TestServer {
    TestServer::spawn(builder.bind_fn(addr, echo).expect("bound"))
}

/// Sends to `ip` at the server's port, and to the server itself after that: what
/// the server has handled then is all that there is.
#[track_caller]
pub(crate) fn handled_of(server: &TestServer, client: &Client, ip: impl Into<IpAddr>) -> u64 {
    let before = server.stats().handled;
    let port = server.local_addr().port();
    client.send_to(b"all", SocketAddr::new(ip.into(), port));
    client.send_to(b"one", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    while client.receive_from().0 != b"one" {}
    // Both were received before the answer; each worker counts its own.
    wait_until("all are settled", || {
        let stats = server.stats();
        stats.handled > before && stats.in_flight == 0
    });
    server.stats().handled - before - 1
}

fn has_ipv6() -> bool {
    let found = UdpSocket::bind("[::1]:0").is_ok();
    if !found {
        println!("skipped: this host has no IPv6");
    }
    found
}

#[test]
fn a_group_is_heard_on_whichever_way_the_interface_is_named_and_answered_by_a_host() {
    for interface in [
        lo(),
        Interface::Index(lo_index()),
        Interface::Address(Ipv4Addr::LOCALHOST),
    ] {
        let named = interface.to_string();
        let server = serve(builder().join_multicast(GROUP.into(), interface), WILDCARD);
        let port = server.local_addr().port();
        let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        client.send_to(b"who?", SocketAddr::from((GROUP, port)));
        // Asserts that the answer is from 127.0.0.1, and not from the group.
        client.expect_reply(b"who?");
        let stats = server.stop().stats;
        assert_eq!((stats.handled, stats.replies.sent), (1, 1), "{named}");
    }
}

#[test]
fn a_server_bound_to_a_group_hears_that_group_alone() {
    let addr = SocketAddr::from((GROUP, 0)).to_string();
    let server = serve(builder().join_multicast(GROUP.into(), lo()), &addr);
    let port = server.local_addr().port();
    let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    client.send_to(b"who?", SocketAddr::from((GROUP, port)));
    let (answer, from) = client.receive_from();
    assert_eq!(answer, b"who?");
    assert!(!from.ip().is_multicast(), "answered by a host: {from}");
}

/// Linux carries no IPv6 groups on its loopback interface: so these tests make a
/// pair of Ethernet interfaces, in a process with a network of its own. `true`
/// says that this is that process.
pub(crate) fn has_ethernet(module: &str, test: &str) -> bool {
    if !nix::unistd::Uid::effective().is_root() || !has_ipv6() {
        println!("skipped: only root has network namespaces to itself");
        return false;
    }
    if !is_alone(module, test, None) {
        return false;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
    // Addresses count at once, without asking whether another host has them.
    let ask_nobody = "/proc/sys/net/ipv6/conf/default/accept_dad";
    std::fs::write(ask_nobody, "0").expect("root may");
    let script = "ip link set lo up && ip link add veth0 type veth peer name veth1 &&
        ip addr add fd00::7/64 dev veth0 && ip link set veth0 up && ip link set veth1 up";
    let done = std::process::Command::new("sh")
        .args(["-c", script])
        .status();
    let is_there = done.is_ok_and(|status| status.success());
    if !is_there {
        println!("skipped: no ip here");
    }
    is_there
}

/// Asks the IPv6 group on `veth0`; who answers.
fn ask_group_v6(port: u16) -> SocketAddr {
    let index = nix::net::if_::if_nametoindex("veth0").expect("made above");
    let group = SocketAddrV6::new(GROUP_V6, port, 0, index);
    let client = UdpSocket::bind("[::]:0").expect("bound");
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    wait_until("the interface is ready", || {
        client.send_to(b"who?", group).is_ok()
    });
    let mut bytes = [0; 100];
    let (len, from) = client.recv_from(&mut bytes).expect("an answer");
    assert_eq!(&bytes[..len], b"who?");
    from
}

#[test]
fn an_ipv6_group_is_heard_and_answered_by_a_host() {
    if !has_ethernet(
        module_path!(),
        "an_ipv6_group_is_heard_and_answered_by_a_host",
    ) {
        return;
    }
    let index = nix::net::if_::if_nametoindex("veth0").expect("made above");
    for interface in [Interface::Name("veth0".to_owned()), Interface::Index(index)] {
        let joining = builder().join_multicast(GROUP_V6.into(), interface);
        let server = serve(joining, "[::]:0");
        let from = ask_group_v6(server.local_addr().port());
        assert!(!from.ip().is_multicast(), "answered by a host: {from}");
        assert_eq!(from.port(), server.local_addr().port());
    }
}

#[test]
fn a_dual_stack_server_hears_groups_of_both_families() {
    if !has_ethernet(
        module_path!(),
        "a_dual_stack_server_hears_groups_of_both_families",
    ) {
        return;
    }
    let both = builder()
        .only_v6(false)
        .multicast_ttl(3)
        .multicast_loop(true)
        .multicast_interface(Interface::Name("veth0".to_owned()))
        .join_multicast(GROUP.into(), lo())
        .join_multicast(GROUP_V6.into(), Interface::Name("veth0".to_owned()));
    let server = serve(both, "[::]:0");
    let port = server.local_addr().port();
    let v4 = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    v4.send_to(b"four", SocketAddr::from((GROUP, port)));
    v4.expect_reply(b"four");
    ask_group_v6(port);
}

#[test]
fn nonsense_is_refused_at_bind_with_the_options_name() {
    let joining = |group: IpAddr, interface| builder().join_multicast(group, interface);
    let nobodys = Ipv4Addr::new(192, 0, 2, 1);
    let cases = [
        (
            "join_multicast: 192.0.2.1 is not a multicast address",
            WILDCARD,
            joining(nobodys.into(), lo()),
        ),
        (
            "join_multicast: 239.255.70.85: there is no interface \"no-such-one\"",
            WILDCARD,
            joining(GROUP.into(), Interface::Name("no-such-one".to_owned())),
        ),
        (
            "join_multicast: 239.255.70.85: there is no interface 4000000000",
            WILDCARD,
            joining(GROUP.into(), Interface::Index(4_000_000_000)),
        ),
        (
            "join_multicast: 239.255.70.85: no interface has the address 192.0.2.1",
            WILDCARD,
            joining(GROUP.into(), Interface::Address(nobodys)),
        ),
        (
            "multicast_ttl: 256 is not between 0 and 255",
            WILDCARD,
            builder().multicast_ttl(256),
        ),
        (
            "multicast_interface: there is no interface 0",
            WILDCARD,
            builder().multicast_interface(Interface::Index(0)),
        ),
        (
            "join_multicast: ff12::4655: an IPv6 group is joined on an interface by its index or name",
            "[::]:0",
            joining(GROUP_V6.into(), Interface::Address(Ipv4Addr::LOCALHOST)),
        ),
        (
            "multicast_interface: the interface of 127.0.0.1: for IPv6 alone, an interface is told by its index or name",
            "[::1]:0",
            builder()
                .only_v6(true)
                .multicast_interface(Interface::Address(Ipv4Addr::LOCALHOST)),
        ),
    ];
    for (text, addr, builder) in cases {
        if addr.starts_with('[') && !has_ipv6() {
            continue;
        }
        let error = builder.bind_fn(addr, echo).expect_err(text);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{text}");
    }
}

#[test]
fn a_group_that_the_socket_cannot_hear_is_refused() {
    let refusal = |addr: &str, builder: Builder<ThreadingUdpServer>| {
        let error = builder.bind_fn(addr, echo).expect_err("it hears nothing");
        match error {
            BindError::Config(ConfigError {
                option, problem, ..
            }) => {
                assert_eq!(option, "join_multicast");
                problem
            }
            other => panic!("an error of another kind: {other}"),
        }
    };
    let joining = |group: IpAddr| builder().join_multicast(group, lo());
    let problem = refusal(ANY_PORT, joining(GROUP.into()));
    assert!(problem.ends_with("hears no group: bind to a wildcard, or to the group"));
    let problem = refusal(WILDCARD, joining(GROUP_V6.into()));
    assert!(problem.ends_with("is for IPv4"), "{problem}");
    if has_ipv6() {
        let only_v6 = joining(GROUP.into()).only_v6(true);
        let problem = refusal("[::]:0", only_v6);
        assert!(problem.ends_with("is for IPv6 alone"), "{problem}");
    }
}

#[test]
fn what_is_said_about_sending_is_set_on_the_socket() {
    let options_of = |builder: Builder<ThreadingUdpServer>| {
        let server = builder.bind_fn(WILDCARD, echo).expect("bound");
        let socket = UdpSocket::from(server.as_fd().try_clone_to_owned().expect("a clone"));
        let ttl = socket.multicast_ttl_v4().expect("an option");
        let loopback = socket.multicast_loop_v4().expect("an option");
        (ttl, loopback, socket.broadcast().expect("an option"))
    };
    assert_eq!(options_of(builder()), (1, true, false), "the defaults");
    let set = builder()
        .multicast_ttl(255)
        .multicast_loop(false)
        .allow_broadcast(true);
    assert_eq!(options_of(set), (255, false, true));
    assert_eq!(options_of(builder().multicast_ttl(0)).0, 0, "this host");
}

/// A server that passes what it is told on to `to`.
fn forwarding(builder: Builder<ThreadingUdpServer>, to: SocketAddr) -> TestServer {
    let server = builder.bind_fn(WILDCARD, move |bytes, _, socket| {
        let answer = match socket.try_send_to(bytes, to) {
            Ok(()) => "sent".to_owned(),
            Err(error) => error.kind().to_string(),
        };
        Ok(socket.reply(answer.as_bytes())?)
    });
    TestServer::spawn(server.expect("bound"))
}

fn ask(server: &TestServer, text: &[u8]) -> String {
    let port = server.local_addr().port();
    let answer = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ask(text);
    String::from_utf8(answer).expect("it is text")
}

pub(crate) fn patient(socket: &UdpSocket) -> String {
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    let mut bytes = [0; 100];
    let (len, _) = socket.recv_from(&mut bytes).expect("it is heard");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[test]
fn what_a_server_sends_to_a_group_goes_out_where_it_was_told() {
    let listener = UdpSocket::bind(WILDCARD).expect("bound");
    listener
        .join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)
        .expect("joined on lo");
    let port = listener.local_addr().expect("bound").port();
    for interface in [
        lo(),
        Interface::Index(lo_index()),
        Interface::Address(Ipv4Addr::LOCALHOST),
    ] {
        let text = interface.to_string();
        let server = forwarding(
            builder().multicast_interface(interface),
            SocketAddr::from((GROUP, port)),
        );
        assert_eq!(ask(&server, text.as_bytes()), "sent");
        assert_eq!(patient(&listener), text);
    }
}

#[test]
fn broadcasting_needs_permission() {
    let everyone = Ipv4Addr::new(127, 255, 255, 255);
    let listener = UdpSocket::bind(WILDCARD).expect("bound");
    let to = SocketAddr::from((everyone, listener.local_addr().expect("bound").port()));
    let server = forwarding(builder(), to);
    assert_eq!(ask(&server, b"quiet"), "permission denied");
    assert_eq!(server.stop().stats.replies.failed.not_permitted, 1);
    let server = forwarding(builder().allow_broadcast(true), to);
    assert_eq!(ask(&server, b"loud"), "sent");
    assert_eq!(patient(&listener), "loud");
}

#[test]
fn each_socket_of_a_server_has_the_permission() {
    let everyone = SocketAddr::from(([127, 255, 255, 255], 9));
    let builder = builder().allow_broadcast(true);
    let server = builder.bind_all_fn([ANY_PORT, "127.0.0.2:0"], move |bytes, _, socket| {
        socket.try_send_to(bytes, everyone)?;
        Ok(socket.reply(b"sent")?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    for addr in server.local_addrs() {
        assert_eq!(Client::of(addr).ask(b"loud"), b"sent", "{addr}");
    }
}

#[test]
fn a_broadcast_is_heard_on_a_wildcard_and_answered_by_a_host() {
    let server = serve(builder(), WILDCARD);
    let port = server.local_addr().port();
    let client = UdpSocket::bind(ANY_PORT).expect("bound");
    client.set_broadcast(true).expect("a flag");
    client
        .send_to(b"anyone?", ("127.255.255.255", port))
        .expect("sent");
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    let mut bytes = [0; 100];
    let (len, from) = client.recv_from(&mut bytes).expect("an answer");
    assert_eq!(&bytes[..len], b"anyone?");
    assert_eq!(from, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
}

/// Bound to a broadcast address, it sends from a host's, which it has to know
/// for its own: otherwise one word would go round for ever.
#[test]
fn a_server_bound_to_a_broadcast_address_does_not_answer_itself() {
    let server = builder().allow_broadcast(true);
    let server = server.bind_fn("127.255.255.255:0", |bytes, _, socket| {
        let everyone = SocketAddr::from(([127, 255, 255, 255], socket.local_addr().port()));
        Ok(socket.try_send_to(bytes, everyone)?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = UdpSocket::bind(ANY_PORT).expect("bound");
    client.set_broadcast(true).expect("a flag");
    client
        .send_to(b"pass it on", server.local_addr())
        .expect("sent");
    server.wait_until_settled(2);
    let stats = server.stop().stats;
    assert_eq!(
        (stats.handled, stats.refused.by(Refusal::OwnAddress)),
        (1, 1),
        "{stats}"
    );
}
