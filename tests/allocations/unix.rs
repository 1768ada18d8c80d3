//! The same on a Unix socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use socketserver::ThreadingUnixDatagramServer;

use crate::{EXACT_WINDOWS, MOST_WINDOWS, WORKERS, allocations_during};

/// Called by the one test there is.
pub(crate) fn a_datagram_costs_no_allocation() {
    let folder = std::env::temp_dir().join(format!("allocations-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder for sockets");
    let (path, own) = (folder.join("server"), folder.join("client"));
    for ordered in [false, true] {
        let server = ThreadingUnixDatagramServer::builder()
            .workers(WORKERS)
            .order_per_peer(ordered)
            .bind_fn(&path, |bytes, _, socket| Ok(socket.reply(bytes)?));
        let server = server.expect("the path is free").spawn();
        let client = UnixDatagram::bind(&own).expect("the path is free");
        client.connect(&path).expect("the server is there");
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("not zero");
        let exchange = |datagrams: u32| {
            let mut reply = [0; 8];
            for number in 0..datagrams {
                client
                    .send(&number.to_be_bytes())
                    .expect("the server receives");
                let len = client.recv(&mut reply).expect("a reply in time");
                assert_eq!(reply[..len], number.to_be_bytes());
            }
        };
        exchange(DATAGRAMS / 4);
        let mut windows = Vec::with_capacity(MOST_WINDOWS);
        while windows.iter().filter(|window| **window == 0).count() < EXACT_WINDOWS {
            assert!(
                windows.len() < MOST_WINDOWS,
                "ordered: {ordered}: {windows:?} allocations with {DATAGRAMS} datagrams each"
            );
            windows.push(allocations_during(|| exchange(DATAGRAMS)));
        }
        server.stop().expect("the server ends in order");
        drop(client);
        std::fs::remove_file(&own).expect("the client's file");
    }
    std::fs::remove_dir(folder).expect("nothing is left");
}

const DATAGRAMS: u32 = 4_000;
