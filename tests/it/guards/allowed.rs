//! Sources that are refused unless they are allowed by name. What only forged
//! packets show is in `tests/faults/allowed.rs`.

use std::net::{Ipv4Addr, SocketAddr};

use socketserver::{Interface, Refusal, ThreadingUdpServer};

use crate::support::{Client, TestServer};

/// Administratively scoped (RFC 2365): no router lets it out.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 70, 86);

/// A server that says its name to the group when somebody calls it.
#[track_caller]
fn member(name: &'static str, port: u16, allow: bool) -> TestServer {
    let lo = Interface::Address(Ipv4Addr::LOCALHOST);
    let server = ThreadingUdpServer::builder()
        .allow_reuse_address(true)
        .allow_own_address(allow)
        .join_multicast(GROUP.into(), lo.clone())
        .multicast_interface(lo)
        .bind_fn(("0.0.0.0", port), move |bytes, _, socket| {
            if bytes.strip_prefix(b"where is ") == Some(name.as_bytes()) {
                let group = SocketAddr::from((GROUP, socket.local_addr().port()));
                socket.send_to(b"here", group)?;
            }
            Ok(())
        });
    TestServer::spawn(server.expect("bound"))
}

/// As two responders of multicast DNS do, whose source port is the group's. (That
/// a server hears itself as well is the price: addresses do not tell them apart.)
#[test]
fn two_servers_of_one_host_on_one_port_hear_each_other_where_that_is_allowed() {
    for (allow, handled, refused) in [(true, 2, 0), (false, 1, 1)] {
        let one = member("one", 0, allow);
        let port = one.local_addr().port();
        let two = member("two", port, allow);
        let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        client.send_to(b"where is two", SocketAddr::from((GROUP, port)));
        for (server, name) in [(one, "one"), (two, "two")] {
            server.wait_until_settled(2);
            let stats = server.stop().stats;
            let counted = (stats.handled, stats.refused.by(Refusal::OwnAddress));
            assert_eq!(counted, (handled, refused), "{name}, allowed: {allow}");
        }
    }
}
