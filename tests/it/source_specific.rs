//! Groups of which one source is heard, on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socketserver::Interface;

use crate::multicast::{WILDCARD, builder, handled_of, lo, lo_index, serve};
use crate::support::{Client, echo};

/// For source-specific multicast (RFC 4607).
const SOURCE_SPECIFIC: Ipv4Addr = Ipv4Addr::new(232, 1, 2, 3);

#[test]
fn of_a_group_joined_for_one_source_no_other_is_heard_whichever_way() {
    let one: IpAddr = Ipv4Addr::LOCALHOST.into();
    let two: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
    for on in [
        lo(),
        Interface::Index(lo_index()),
        Interface::Address(Ipv4Addr::LOCALHOST),
    ] {
        let named = on.to_string();
        let builder = builder().join_multicast_from(SOURCE_SPECIFIC.into(), one, on.clone());
        let server = serve(builder, WILDCARD);
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, server.local_addr().port()));
        let heard = |from: IpAddr| {
            let client = Client::at(&SocketAddr::new(from, 0).to_string(), there);
            handled_of(&server, &client, SOURCE_SPECIFIC) == 1
        };
        assert!(heard(one), "{named}");
        assert!(!heard(two), "{named}: it was not joined");
        let group = SOURCE_SPECIFIC.into();
        let joined = server.join_multicast_from(group, two, on.clone());
        joined.expect("a second source");
        assert!(heard(one) && heard(two), "{named}");
        let left = server.leave_multicast_from(group, one, on.clone());
        left.expect("it was joined");
        assert!(!heard(one) && heard(two), "{named}");
        let again = server.leave_multicast_from(group, one, on.clone());
        let expected = format!("cannot leave 232.1.2.3 from 127.0.0.1 on {on}: ");
        let again = again.expect_err("once").to_string();
        assert!(again.starts_with(&expected), "{again}");
    }
}

#[test]
fn a_source_that_cannot_send_to_the_group_is_refused() {
    for source in ["239.1.1.1", "0.0.0.0", "::1"] {
        let ip = source.parse().expect("a valid address");
        let server = builder().join_multicast_from(SOURCE_SPECIFIC.into(), ip, lo());
        let error = server.bind_fn(WILDCARD, echo).expect_err(source);
        let expected = format!(
            "join_multicast_from: {source} cannot send to 232.1.2.3: a source is a host of the group's family"
        );
        assert_eq!(error.to_string(), expected);
    }
}
