//! What it costs to be told more of each datagram, and to mark replies: the same
//! server on a wildcard, where the destination is told in any case.

use socketserver::{Builder, RunningServer, SendOptions, ThreadingUdpServer};

type Threading = Builder<ThreadingUdpServer>;

/// A name, what is asked for, and how replies are marked.
pub(crate) type Details = (&'static str, fn(Threading) -> Threading, SendOptions);

/// Each alone, and all.
pub(crate) const DETAILS: [Details; 7] = [
    ("none", |builder| builder, PLAIN),
    ("receive_time", |builder| builder.receive_time(true), PLAIN),
    (
        "receive_hop_limit",
        |builder| builder.receive_hop_limit(true),
        PLAIN,
    ),
    (
        "receive_traffic_class",
        |builder| builder.receive_traffic_class(true),
        PLAIN,
    ),
    (
        "reply_by_interface",
        |builder| builder.reply_by_interface(true),
        PLAIN,
    ),
    ("marked replies", |builder| builder, MARKED),
    ("all", all, MARKED),
];

const PLAIN: SendOptions = SendOptions::new();
const MARKED: SendOptions = SendOptions::new().dscp(46).hop_limit(255);

fn all(builder: Threading) -> Threading {
    builder
        .receive_time(true)
        .receive_hop_limit(true)
        .receive_traffic_class(true)
        .reply_by_interface(true)
}

/// A server that looks at what it is told, and replies in upper case.
pub(crate) fn told(workers: usize, (_, ask, options): &Details) -> RunningServer {
    let options = *options;
    ask(ThreadingUdpServer::builder().workers(workers))
        .bind_fn("0.0.0.0:0", move |bytes, _, socket| {
            std::hint::black_box(socket.meta());
            let mut reply = [0; 2_048];
            let reply = &mut reply[..bytes.len()];
            reply.copy_from_slice(bytes);
            reply.make_ascii_uppercase();
            Ok(socket.reply_with(reply, &options)?)
        })
        .expect("a free port")
        .spawn()
}
