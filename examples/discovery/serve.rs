//! The server: answers the question, and nothing else.

use std::error::Error;

use socketserver::ThreadingUdpServer;

use crate::Place;
use crate::wire::{Answer, QUESTION};

pub(crate) fn run(name: &str, service: u16, place: &Place) -> Result<(), Box<dyn Error>> {
    let answer = Answer {
        name: name.to_owned(),
        service,
    };
    let answer = answer.encode();
    let server = ThreadingUdpServer::builder()
        // Other servers on this host hear the same port.
        .allow_reuse_address(true)
        .only_v6(place.group.is_ipv6())
        .join_multicast(place.group.ip(), place.interface()?)
        .verify_request(|bytes, _| bytes == QUESTION)
        .bind_fn(
            (place.wildcard(), place.group.port()),
            move |_, _, socket| Ok(socket.reply(&answer)?),
        )?;
    let handle = server.handle();
    ctrlc::set_handler(move || handle.shutdown())?;
    println!("{name} answers who asks {}", place.group);
    println!("in another terminal: cargo run --release --example discovery -- find");
    println!("Ctrl-C ends it");
    let report = server.serve_forever()?;
    println!("{}", report.stats.table());
    Ok(())
}
