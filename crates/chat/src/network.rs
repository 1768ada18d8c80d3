//! The socket towards the server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use crate::event::Event;

/// Finds the address that `text` names.
pub fn resolve(text: &str) -> io::Result<SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    text.to_socket_addrs()?.next().ok_or_else(none)
}

/// Opens a socket connected to the server: the kernel lets nobody else's
/// datagrams in, and tells when nobody is there.
pub fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let local = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(server)?;
    Ok(socket)
}

/// Sends a line, and ends it: by that the server knows that its own words may be
/// shown here. An error may be the answer to an earlier line, reported late and
/// in place of sending; it is gone once it is reported, so the second attempt
/// counts.
pub fn send(socket: &UdpSocket, line: &str) -> io::Result<()> {
    let line = format!("{line}\n");
    let send = || socket.send(line.as_bytes());
    send().or_else(|_| send()).map(drop)
}

/// Hands on what arrives, until nobody wants it any more.
pub fn receive(socket: &UdpSocket, events: &SyncSender<Event>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let event = match socket.recv(&mut buffer) {
            Ok(length) => Event::Datagram(buffer[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                if !is_answer(&error) {
                    // It may be there to stay.
                    thread::sleep(PAUSE);
                }
                Event::Unreachable(error.to_string())
            }
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Tells whether an error is what came back for a datagram: each comes once.
fn is_answer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// No datagram is longer.
const MAX_DATAGRAM: usize = 65_535;

/// How long to wait before receiving again after an error of one's own.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc;

    /// Receives on a thread of its own, as the program does.
    fn events(socket: UdpSocket) -> (Arc<UdpSocket>, mpsc::Receiver<Event>) {
        let (sender, events) = mpsc::sync_channel(8);
        let socket = Arc::new(socket);
        let incoming = Arc::clone(&socket);
        thread::spawn(move || receive(&incoming, &sender));
        (socket, events)
    }

    fn localhost() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
    }

    #[test]
    fn only_the_server_is_heard() {
        let (server, stranger) = (localhost(), localhost());
        let socket = connect(server.local_addr().expect("bound")).expect("connected");
        let addr = SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            socket.local_addr().expect("bound").port(),
        ));
        let (_socket, events) = events(socket);
        stranger.send_to(b"psst", addr).expect("sent");
        server.send_to(b"hello", addr).expect("sent");
        match events.recv_timeout(Duration::from_secs(5)) {
            Ok(Event::Datagram(bytes)) => assert_eq!(bytes, b"hello"),
            _ => panic!("no datagram came"),
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_absent_server_is_noticed_and_may_come_later() {
        let server = localhost();
        let addr = server.local_addr().expect("bound");
        let socket = connect(addr).expect("connected");
        drop(server);
        let (socket, events) = events(socket);
        send(&socket, "anyone?").expect("nothing fails at the sender");
        let event = events.recv_timeout(Duration::from_secs(5));
        assert!(matches!(event, Ok(Event::Unreachable(_))));
        let Ok(server) = UdpSocket::bind(addr) else {
            return; // Someone else was quicker to take the port.
        };
        send(&socket, "now?").expect("sent");
        let mut buffer = [0; 16];
        let length = server.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"now?\n");
    }
}
