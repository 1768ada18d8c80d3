//! The client: asks the group, and lists who answers.
//!
//! It is a server as well: answers come from addresses that nobody knows
//! before, each is a datagram to handle, and `handle_request` handles one at a
//! time on the thread that waits for them.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use socketserver::ThreadingUdpServer;

use crate::Place;
use crate::wire::{Answer, QUESTION};

/// Whether anybody was found.
pub(crate) fn run(wait: Duration, place: &Place) -> Result<bool, Box<dyn Error>> {
    let (tell, told) = mpsc::channel();
    let mut server = ThreadingUdpServer::builder()
        .multicast_interface(place.interface()?)
        .verify_request(|bytes, _| Answer::decode(bytes).is_some())
        .bind_fn((place.wildcard(), 0), move |bytes, addr, _| {
            if let Some(answer) = Answer::decode(bytes) {
                tell.send((answer, addr))?;
            }
            Ok(())
        })?;
    // From the server's own socket: answers come to where questions come from.
    let asking = socket_of(&server)?;
    let deadline = Instant::now() + wait;
    let mut ask_at = Instant::now();
    let mut found = BTreeSet::new();
    loop {
        let now = Instant::now();
        if now >= deadline {
            break;
        }
        if now >= ask_at {
            asking
                .send_to(QUESTION, place.group)
                .map_err(|error| format!("cannot ask {}: {error}", place.group))?;
            ask_at = now + wait / QUESTIONS;
        }
        server.handle_request(Some(deadline.min(ask_at) - now))?;
        for (answer, mut at) in told.try_iter() {
            at.set_port(answer.service);
            if found.insert((answer.clone(), at)) {
                println!("{} at {at}", answer.name);
            }
        }
    }
    if found.is_empty() {
        eprintln!("nobody answered within {wait:?}");
    }
    Ok(!found.is_empty())
}

/// The socket that the server receives on, to send from.
#[cfg(unix)]
fn socket_of(server: &ThreadingUdpServer) -> std::io::Result<UdpSocket> {
    use std::os::fd::AsFd;

    server.as_fd().try_clone_to_owned().map(UdpSocket::from)
}

#[cfg(not(unix))]
fn socket_of(_server: &ThreadingUdpServer) -> std::io::Result<UdpSocket> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Datagrams get lost: it is asked more than once, and each answer shown once.
const QUESTIONS: u32 = 4;
