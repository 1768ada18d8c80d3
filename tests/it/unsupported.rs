//! What the portable twin cannot do is said at `bind`, or where it is asked for.

use std::io::ErrorKind;
use std::sync::mpsc;

use socketserver::{Builder, Destination, Interface, SendOptions, ThreadingUdpServer};

use crate::support::{ANY_PORT, Client, DEADLINE, TestServer};

#[test]
fn options_that_need_control_messages_are_refused_by_name_at_bind() {
    type Turn = fn(Builder<ThreadingUdpServer>) -> Builder<ThreadingUdpServer>;
    let cases: [(&str, Turn); 7] = [
        ("receive_time", |builder| builder.receive_time(true)),
        ("receive_interface", |builder| {
            builder.receive_interface(true)
        }),
        ("receive_hop_limit", |builder| {
            builder.receive_hop_limit(true)
        }),
        ("receive_traffic_class", |builder| {
            builder.receive_traffic_class(true)
        }),
        ("dont_fragment", |builder| builder.dont_fragment(true)),
        ("unicast_interface", |builder| {
            builder.unicast_interface(Interface::Any)
        }),
        ("reply_by_interface", |builder| {
            builder.reply_by_interface(true)
        }),
    ];
    for (option, set) in cases {
        let server = set(ThreadingUdpServer::builder()).bind_fn(ANY_PORT, |_, _, _| Ok(()));
        let error = server.expect_err(option).to_string();
        assert!(
            error.starts_with(&format!("{option}: the system refuses: ")),
            "{error}"
        );
        assert!(error.ends_with(" on this platform"), "{error}");
    }
}

#[test]
fn options_of_a_datagram_are_refused_and_without_any_it_is_sent() {
    let (tell, told) = mpsc::channel();
    let server = ThreadingUdpServer::bind_fn(ANY_PORT, move |bytes, _, socket| {
        let here = socket.meta().destination();
        tell.send((
            socket.reply_with(bytes, &SendOptions::new().hop_limit(9)),
            here,
        ))?;
        Ok(socket.reply_with(bytes, &SendOptions::new())?)
    });
    let server = TestServer::spawn(server.expect("bound"));
    let client = Client::of(server.local_addr());
    assert_eq!(client.ask(b"plain"), b"plain");
    let (refused, here) = told.recv_timeout(DEADLINE).expect("told");
    let error = refused.expect_err("it cannot be said of one datagram");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let own = server.local_addr().ip();
    assert_eq!(here, Some(Destination::Unicast(own)), "the only one it has");
}

#[test]
fn what_std_can_set_for_all_is_set() {
    let builder = ThreadingUdpServer::builder().dscp(46).hop_limit(9);
    let server = builder.bind_fn(ANY_PORT, |_, _, _| Ok(())).expect("bound");
    use std::os::fd::AsFd;
    let socket = std::net::UdpSocket::from(server.as_fd().try_clone_to_owned().expect("a copy"));
    assert_eq!(socket.ttl().expect("an option"), 9);
}
