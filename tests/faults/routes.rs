//! Hosts with several links, where the routes do not lead back the way a
//! datagram came; and links that take less than a datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use socketserver::{
    Builder, DatagramMeta, Destination, Interface, SendError, SendOptions, SocketHandle,
    ThreadingUdpServer,
};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::support::{DEADLINE, Handle, TestServer, echo};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::FastPath] => {
            the_link_that_a_datagram_came_by_is_told_in_both_families,
            an_answer_leaves_by_the_link_that_was_asked_if_that_is_wanted,
            what_is_sent_to_all_leaves_by_the_link_that_is_named,
            single_hosts_are_sent_to_by_the_interface_that_is_named,
            a_datagram_that_must_not_be_fragmented_and_is_too_long_is_told,
        }
    }
}

/// A host with two uplinks, and what is beyond each.
struct TwoUplinks {
    here: Namespace,
    there: [Namespace; 2],
}

impl TwoUplinks {
    /// 10.0.1.1 and fd00:1::1 on the first, 10.0.2.1 and fd00:2::1 on the second;
    /// beyond each its neighbour, with a 2 at the end, which also is the far host.
    /// The better default route is the first's.
    fn new() -> Self {
        let here = Namespace::new();
        let there = [Namespace::new(), Namespace::new()];
        for (number, (far, link)) in (1..).zip(there.iter().zip(UPLINKS)) {
            here.join(far, link);
            for (namespace, host) in [(&here, 1), (far, 2)] {
                namespace.ip(&format!(
                    "address add 10.0.{number}.{host}/24 brd + dev {link}"
                ));
                namespace.add_v6(link, &format!("fd00:{number}::{host}/64"));
            }
            far.ip(&format!("address add {FAR}/32 dev lo"));
            let by = format!("dev {link} metric {number}00");
            here.ip(&format!("route add default via 10.0.{number}.2 {by}"));
            here.ip(&format!("-6 route add default via fd00:{number}::2 {by}"));
            // What comes by the worse route is let in (ip-sysctl, `rp_filter`).
            for name in ["all", link] {
                here.set(&format!("ipv4/conf/{name}/rp_filter"), "0");
            }
        }
        Self { here, there }
    }

    /// A dual-stack server on a wildcard.
    #[track_caller]
    fn serve(&self, builder: Builder<ThreadingUdpServer>, f: impl Handle) -> TestServer {
        self.serve_at("[::]:0", builder.only_v6(false), f)
    }

    #[track_caller]
    fn serve_at(
        &self,
        addr: &'static str,
        builder: Builder<ThreadingUdpServer>,
        f: impl Handle,
    ) -> TestServer {
        self.here.run(move || {
            let server = builder.bind_fn(addr, f);
            TestServer::spawn(server.expect("bound"))
        })
    }

    fn index_of(&self, link: &'static str) -> u32 {
        let index = self.here.run(move || if_nametoindex(link));
        index.expect("the link is there")
    }
}

/// A client at `own` that hears one address of the server alone.
#[track_caller]
fn connected(namespace: &Namespace, own: &str, to: &str, port: u16) -> UdpSocket {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let (own, to) = (SocketAddr::new(ip(own), 0), SocketAddr::new(ip(to), port));
    namespace.run(move || {
        let socket = UdpSocket::bind(own).expect("a client's socket");
        socket.connect(to).expect("there is a route");
        socket
    })
}

/// A socket at this port of a namespace, on all addresses of both families.
#[track_caller]
fn listener(namespace: &Namespace, port: u16) -> UdpSocket {
    let socket = namespace.run(move || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)));
    socket.expect("the port is free in there")
}

/// What comes within this time, if anything.
fn heard(socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(patience)).expect("not zero");
    let mut buffer = [0; 2_048];
    let len = socket.recv(&mut buffer).ok()?;
    Some(buffer[..len].to_vec())
}

fn the_link_that_a_datagram_came_by_is_told_in_both_families() {
    let host = TwoUplinks::new();
    let (tell, told) = mpsc::channel::<DatagramMeta>();
    let server = host.serve(ThreadingUdpServer::builder(), move |_, _, socket| {
        Ok(tell.send(socket.meta())?)
    });
    let port = server.local_addr().port();
    for (number, (far, link)) in (1..).zip(host.there.iter().zip(UPLINKS)) {
        let index = host.index_of(link);
        for (own, to) in [
            (format!("10.0.{number}.2"), format!("10.0.{number}.1")),
            (format!("fd00:{number}::2"), format!("fd00:{number}::1")),
        ] {
            let client = connected(far, &own, &to, port);
            client.send(b"where am I?").expect("the link is up");
            let meta = told.recv_timeout(DEADLINE).expect("it came");
            assert_eq!(meta.interface(), Some(index), "{to}");
            let ip = to.parse().expect("an address");
            assert_eq!(meta.destination(), Some(Destination::Unicast(ip)));
        }
        for all in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, number, 255)] {
            let sent = far.run(move || {
                let socket = UdpSocket::bind((Ipv4Addr::new(10, 0, number, 2), 0))?;
                socket.set_broadcast(true)?;
                socket.send_to(b"where are we?", (all, port))
            });
            sent.expect("the link is up");
            let meta = told.recv_timeout(DEADLINE).expect("it came");
            let ip = IpAddr::from(all);
            assert_eq!(meta.destination(), Some(Destination::Broadcast(ip)));
            assert_eq!(meta.interface(), Some(index), "{all}");
        }
    }
}

fn an_answer_leaves_by_the_link_that_was_asked_if_that_is_wanted() {
    let host = TwoUplinks::new();
    let [_, worse] = &host.there;
    // Bound to one address, it is told of an interface only if it asks.
    for (addr, is_wanted) in [
        ("[::]:0", true),
        ("[::]:0", false),
        ("10.0.2.1:0", true),
        ("10.0.2.1:0", false),
    ] {
        let builder = ThreadingUdpServer::builder()
            .only_v6(false)
            .reply_by_interface(is_wanted);
        let server = host.serve_at(addr, builder, echo);
        let port = server.local_addr().port();
        // IPv4 alone: for IPv6, Linux takes an interface for a wish, and the metric
        // of another's route for more.
        let client = connected(worse, FAR, "10.0.2.1", port);
        client.send(b"come back").expect("the link is up");
        let patience = if is_wanted { DEADLINE } else { SHORT };
        let answer = heard(&client, patience);
        assert_eq!(answer.is_some(), is_wanted, "at {addr}");
        let replies = server.stop().stats.replies;
        assert_eq!((replies.sent, replies.failed.total()), (1, 0));
    }
}

fn what_is_sent_to_all_leaves_by_the_link_that_is_named() {
    let host = TwoUplinks::new();
    let listeners = host.there.each_ref().map(|far| listener(far, CLIENTS));
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    for all in [IpAddr::from(Ipv4Addr::BROADCAST), all_nodes.into()] {
        let builder = ThreadingUdpServer::builder().allow_broadcast(true);
        let server = host.serve(builder, move |bytes, _, socket| {
            let link = socket.meta().interface().ok_or("no interface")?;
            let all = SocketAddr::new(all, CLIENTS);
            let options = SendOptions::new().interface(link);
            Ok(socket.send_to_with(bytes, all, &options)?)
        });
        let port = server.local_addr().port();
        for (number, far) in (1..).zip(&host.there) {
            let question = format!("offers on link {number}?").into_bytes();
            let (own, to) = match all {
                IpAddr::V4(_) => (format!("10.0.{number}.2"), format!("10.0.{number}.1")),
                IpAddr::V6(_) => (format!("fd00:{number}::2"), format!("fd00:{number}::1")),
            };
            let client = connected(far, &own, &to, port);
            client.send(&question).expect("the link is up");
            server.wait_until_settled(number);
            for (at, listener) in (1..).zip(&listeners) {
                let patience = if at == number { DEADLINE } else { SHORT };
                let expected = (at == number).then(|| question.clone());
                assert_eq!(heard(listener, patience), expected, "{all} on link {at}");
            }
        }
    }
}

fn single_hosts_are_sent_to_by_the_interface_that_is_named() {
    let host = TwoUplinks::new();
    let far = SocketAddr::new(FAR.parse().expect("an address"), CLIENTS);
    let listeners = host.there.each_ref().map(|far| listener(far, CLIENTS));
    for (number, link) in UPLINKS.into_iter().enumerate() {
        let here = Interface::Name(link.to_owned());
        let server = host.here.run(move || {
            let builder = ThreadingUdpServer::builder().unicast_interface(here);
            let tell = move |bytes: &[u8], _: SocketAddr, socket: &SocketHandle| {
                Ok(socket.send_to(bytes, far)?)
            };
            let server = builder.only_v6(false).bind_fn("[::]:0", tell);
            TestServer::spawn(server.expect("bound"))
        });
        let asked = format!("10.0.{}.1", number + 1);
        let own = format!("10.0.{}.2", number + 1);
        let client = connected(
            &host.there[number],
            &own,
            &asked,
            server.local_addr().port(),
        );
        client.send(b"tell").expect("the link is up");
        assert_eq!(heard(&listeners[number], DEADLINE), Some(b"tell".to_vec()));
        assert_eq!(
            heard(&listeners[1 - number], SHORT),
            None,
            "by {link} alone"
        );
    }
}

/// Over a link of Ethernet's 1,500 bytes: 28 are headers of IPv4 and UDP, 48 of
/// IPv6 and UDP.
fn a_datagram_that_must_not_be_fragmented_and_is_too_long_is_told() {
    let (here, there) = Namespace::pair();
    for (is_for_all, own, to, longest) in [
        (true, "10.0.0.2", "10.0.0.1", 1_472),
        (true, "fd00::2", "fd00::1", 1_452),
        (false, "fd00::2", "fd00::1", 1_452),
    ] {
        let (tell, told) = mpsc::channel();
        let server = here.run(move || {
            let builder = ThreadingUdpServer::builder().dont_fragment(is_for_all);
            let server = builder
                .only_v6(false)
                .bind_fn("[::]:0", move |_, _, socket| {
                    let options = SendOptions::new().dont_fragment(true);
                    let bytes = vec![b'x'; longest + 1];
                    tell.send([
                        socket.try_reply_with(&bytes, &options),
                        socket.reply_with(&bytes, &options),
                        socket.detach().reply_with(&bytes, &options),
                    ])?;
                    Ok(socket.reply_with(&bytes[1..], &options)?)
                });
            TestServer::spawn(server.expect("bound"))
        });
        let before = here.fragments_made();
        let client = connected(&there, own, to, server.local_addr().port());
        client.send(b"how long?").expect("the link is up");
        for refused in told.recv_timeout(DEADLINE).expect("told") {
            match refused {
                Err(SendError::Refused { cause, .. }) => {
                    let errno = cause.raw_os_error().map(Errno::from_raw);
                    assert_eq!(errno, Some(Errno::EMSGSIZE), "{to}");
                }
                other => panic!("not {other:?}"),
            }
        }
        let answer = heard(&client, DEADLINE).map(|answer| answer.len());
        assert_eq!(answer, Some(longest), "the longest that fits");
        assert_eq!(here.fragments_made(), before);
        assert_eq!(server.stop().stats.replies.failed.too_long, 3);
    }
}

const UPLINKS: [&str; 2] = ["up1", "up2"];
/// The same host at the end of both uplinks.
const FAR: &str = "203.0.113.9";
/// The port of those who listen.
const CLIENTS: u16 = 6_800;
/// Nobody waits longer for what must not come.
const SHORT: Duration = Duration::from_millis(300);
