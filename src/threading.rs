//! The server with one handler instance per worker.

use crate::server::{Core, Lifetime, Style, Threading, server_methods};

/// A UDP server whose workers each keep one handler instance: Python's
/// `ThreadingUDPServer`, with a bounded, elastic pool in place of a thread per
/// datagram. (Python makes an instance per request: so does
/// [`fresh_instance(true)`](crate::Builder::fresh_instance).)
///
/// One worker waits for datagrams and handles what it received itself; others
/// join in when handlers take long or there is a backlog, and step in at once
/// when one blocks. State that must be shared is shared as ever in Rust:
/// capture an `Arc` in the factory.
///
/// # Examples
/// ```
/// use socketserver::ThreadingUdpServer;
///
/// let server = ThreadingUdpServer::bind_fn("127.0.0.1:0", |bytes, _, socket| {
///     Ok(socket.reply(&bytes.to_ascii_uppercase())?)
/// })?
/// .spawn();
///
/// let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
/// client.send_to(b"hello", server.local_addr()).unwrap();
/// let mut reply = [0; 16];
/// let (len, _) = client.recv_from(&mut reply).unwrap();
/// assert_eq!(&reply[..len], b"HELLO");
/// # Ok::<(), socketserver::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias("ThreadingUDPServer", "ThreadingMixIn", "UDPServer", "BaseServer"))]
#[must_use = "it serves with serve_forever, spawn or handle_request, and closes when dropped"]
pub struct ThreadingUdpServer {
    core: Core,
}

server_methods!(ThreadingUdpServer);

impl Style for ThreadingUdpServer {
    const LIFETIME: Lifetime = Lifetime::Worker;
    const MAX_WORKERS: usize = 256;
    const WORKERS_KNOB: &'static str = "workers";

    fn from_core(core: Core) -> Self {
        Self { core }
    }
}

impl Threading for ThreadingUdpServer {}
