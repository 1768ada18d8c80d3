//! Whoever knows a name from Python or from POSIX finds what stands for it.

use std::collections::BTreeSet;

use crate::source::Source;

/// All that a search of the documentation finds, but for types.
fn found() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in Source::under("src") {
        for part in source.text.split("doc(alias").skip(1) {
            let aliases = part.split(")]").next().unwrap_or_default();
            let quoted = aliases.split('"').skip(1).step_by(2);
            names.extend(quoted.map(str::to_owned));
        }
        for part in source.text.split("fn ").skip(1) {
            let is_part = |c: char| c == '_' || c.is_alphanumeric();
            names.insert(part.chars().take_while(|c| is_part(*c)).collect());
        }
    }
    names
}

#[test]
fn every_name_of_python_and_of_posix_is_found() {
    let found = found();
    let missing: Vec<_> = [PYTHON, POSIX]
        .concat()
        .into_iter()
        .filter(|name| !found.contains(*name))
        .collect();
    assert!(missing.is_empty(), "`doc(alias)` for {missing:?}");
}

/// Of `socketserver`, what concerns datagrams and has something in its place.
const PYTHON: &[&str] = &[
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingUDPServer",
    "RequestHandlerClass",
    "ThreadingMixIn",
    "ThreadingUDPServer",
    "UDPServer",
    "__enter__",
    "__exit__",
    "_threads",
    "active_children",
    "address_family",
    "allow_reuse_address",
    "allow_reuse_port",
    "bind_and_activate",
    "block_on_close",
    "client_address",
    "collect_children",
    "daemon_threads",
    "fileno",
    "finish",
    "finish_request",
    "get_request",
    "handle",
    "handle_error",
    "handle_request",
    "handle_timeout",
    "max_children",
    "max_packet_size",
    "packet",
    "process_request",
    "process_request_thread",
    "request",
    "request_queue_size",
    "rfile",
    "serve_forever",
    "server_activate",
    "server_address",
    "server_bind",
    "server_close",
    "service_actions",
    "setup",
    "shutdown",
    "timeout",
    "verify_request",
    "wfile",
];

/// Options and calls that an option or a method stands for.
const POSIX: &[&str] = &[
    "IPV6_JOIN_GROUP",
    "IPV6_LEAVE_GROUP",
    "IPV6_MULTICAST_HOPS",
    "IPV6_MULTICAST_IF",
    "IPV6_MULTICAST_LOOP",
    "IPV6_V6ONLY",
    "IP_ADD_MEMBERSHIP",
    "IP_DROP_MEMBERSHIP",
    "IP_MULTICAST_IF",
    "IP_MULTICAST_LOOP",
    "IP_MULTICAST_TTL",
    "IP_PKTINFO",
    "LISTEN_FDS",
    "MSG_TRUNC",
    "SO_BROADCAST",
    "SO_RCVBUF",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_SNDBUF",
    "SO_TIMESTAMPNS",
    "UDP_GRO",
    "UDP_SEGMENT",
    "getsockname",
    "if_nametoindex",
    "recvmmsg",
    "sendmmsg",
    "sendto",
];
