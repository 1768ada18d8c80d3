//! Which groups a server hears: those that it has joined, as long as it has.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use nix::sys::socket::{IpMembershipRequest, setsockopt, sockopt};
use socketserver::{
    ChangeError, HandlerError, Interface, MembershipError, SocketHandle, ThreadingUdpServer,
};

use crate::multicast::{
    GROUP, GROUP_V6, WILDCARD, builder, handled_of, has_ethernet, lo, patient, serve,
};
use crate::support::{Client, TestServer, echo, keep_log, logged, wait_until};

#[test]
fn groups_that_others_joined_are_not_heard() {
    let other = UdpSocket::bind(WILDCARD).expect("bound");
    other
        .join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)
        .expect("joined on lo");
    let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));

    let server = serve(builder(), WILDCARD);
    assert_eq!(handled_of(&server, &client, GROUP), 0, "it joined nothing");

    // The other way round shows that the group does come to this host.
    let socket = UdpSocket::bind(WILDCARD).expect("bound");
    let server = ThreadingUdpServer::from_socket(socket, || {
        echo as fn(&[u8], SocketAddr, &SocketHandle) -> Result<(), HandlerError>
    });
    let server = TestServer::spawn(server.expect("taken over"));
    assert_eq!(
        handled_of(&server, &client, GROUP),
        1,
        "handed in with Linux's default, which stays"
    );
}

#[test]
fn ipv6_groups_that_others_joined_are_not_heard() {
    if !has_ethernet(
        module_path!(),
        "ipv6_groups_that_others_joined_are_not_heard",
    ) {
        return;
    }
    let index = nix::net::if_::if_nametoindex("veth0").expect("made above");
    let group = |port| SocketAddrV6::new(GROUP_V6, port, 0, index);
    let other = UdpSocket::bind("[::]:0").expect("bound");
    other
        .join_multicast_v6(&GROUP_V6, index)
        .expect("joined on veth0");
    let there = group(other.local_addr().expect("bound").port());
    let server = serve(builder(), "[::]:0");
    let port = server.local_addr().port();
    let client = UdpSocket::bind("[::]:0").expect("bound");
    wait_until("the interface is ready", || {
        client.send_to(b"all", there).is_ok()
    });
    assert_eq!(patient(&other), "all", "the group does come to this host");
    client.send_to(b"all", group(port)).expect("it is ready");
    client.send_to(b"one", ("::1", port)).expect("loopback");
    assert_eq!(patient(&client), "one");
    assert_eq!(server.stop().stats.received, 1, "it joined nothing");
}

#[test]
fn a_group_is_joined_and_left_while_serving() {
    let server = serve(builder(), WILDCARD);
    let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    assert_eq!(handled_of(&server, &client, GROUP), 0, "not joined yet");
    server.join_multicast(GROUP.into(), lo()).expect("joined");
    assert_eq!(handled_of(&server, &client, GROUP), 1, "joined");

    let twice = server.join_multicast(GROUP.into(), lo()).unwrap_err();
    let text = "cannot join 239.255.70.85 on interface \"lo\": address in use";
    assert_eq!(twice.to_string(), text);

    server.leave_multicast(GROUP.into(), lo()).expect("left");
    assert_eq!(handled_of(&server, &client, GROUP), 0, "left again");
    let never = server.leave_multicast(GROUP.into(), lo()).unwrap_err();
    assert!(
        matches!(
            never,
            ChangeError::Membership(MembershipError {
                action: "leave",
                ..
            })
        ),
        "{never}"
    );

    let handle = (*server).clone();
    server.stop();
    let late = handle.join_multicast(GROUP.into(), lo()).unwrap_err();
    assert!(matches!(late, ChangeError::Closed), "{late}");
}

/// On the second socket a membership is in the way, which the server does not know.
#[test]
fn where_one_socket_cannot_join_none_has_joined() {
    let free = || UdpSocket::bind(WILDCARD).and_then(|socket| socket.local_addr());
    let attempt = || {
        let sockets = AtomicUsize::new(0);
        let has_joined = move |socket: BorrowedFd<'_>| {
            if sockets.fetch_add(1, Relaxed) == 1 {
                let request = IpMembershipRequest::new(GROUP, Some(Ipv4Addr::LOCALHOST));
                setsockopt(&socket, sockopt::IpAddMembership, &request)?;
            }
            Ok(())
        };
        let ports = [(); 2].map(|()| free().expect("a free port"));
        let builder = builder().configure_socket(has_joined);
        builder.bind_all_fn(ports, echo).ok()
    };
    // Somebody may have been quicker.
    let server = (0..100).find_map(|_| attempt());
    let server = TestServer::spawn(server.expect("two free ports"));
    let refused = server.join_multicast(GROUP.into(), lo());
    let text = "cannot join 239.255.70.85 on interface \"lo\": address in use";
    assert_eq!(refused.expect_err("it is in the way").to_string(), text);
    let client = Client::of(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    assert_eq!(handled_of(&server, &client, GROUP), 0, "by the first");
}

/// How it comes and goes is in `tests/faults/sockets.rs`.
#[test]
fn that_a_group_waits_for_its_interface_is_logged_and_it_can_be_left() {
    keep_log();
    let away = || Interface::Name("still-to-come".to_owned());
    let following = builder().follow_interfaces(true);
    let server = serve(following.join_multicast(GROUP.into(), away()), WILDCARD);
    let addr = server.local_addr();
    let line = format!("{addr}: waits for interface \"still-to-come\" to join {GROUP}");
    assert_eq!(logged(&line).len(), 1);
    let left = server.leave_multicast(GROUP.into(), away());
    left.expect("it was waited for");
    let again = server.leave_multicast(GROUP.into(), away());
    let problem = "there is no interface \"still-to-come\"";
    let again = again.expect_err("not any more").to_string();
    assert!(again.ends_with(problem), "{again}");
}
