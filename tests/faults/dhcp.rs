//! A whole exchange of DHCP (RFC 2131) with a client that is not ours: it has no
//! address yet, asks everybody and is answered by a broadcast.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use socketserver::{Builder, HandlerError, Refusal, SendOptions, SocketHandle, ThreadingUdpServer};

use crate::harness::{Case, Need, cases};
use crate::netns::Namespace;
use crate::support::{Handle, TestServer};

pub(crate) fn cases() -> Vec<Case> {
    cases! {
        &[Need::Root, Need::Tool("ip"), Need::Tool("udhcpc")] => {
            a_dhcp_client_is_served_on_the_device_of_the_server_alone,
        }
        &[Need::Root, Need::Tool("ip"), Need::Tool("udhcpc"), Need::FastPath] => {
            dhcp_clients_on_two_links_get_their_leases_from_one_server,
        }
    }
}

/// The address of its link is what the kernel says it answers from there.
fn dhcp_clients_on_two_links_get_their_leases_from_one_server() {
    let host = Host::new();
    let server = host.serve(ThreadingUdpServer::builder(), |bytes, _, socket| {
        let link = socket.meta().interface().ok_or("no interface")?;
        let IpAddr::V4(own) = socket.local_addr().ip() else {
            return Err("no address of IPv4".into());
        };
        let options = SendOptions::new().interface(link);
        Ok(socket.send_to_with(&answer(bytes, own)?, CLIENTS, &options)?)
    });
    for (client, own) in host.clients.iter().zip(OWN) {
        assert_eq!(client.asks_for_a_lease(PATIENT), Ok(lease_from(own)));
    }
    assert_served(server, 4);
}

fn a_dhcp_client_is_served_on_the_device_of_the_server_alone() {
    let host = Host::new();
    let [elsewhere, here] = &host.clients;
    let builder = ThreadingUdpServer::builder().device(LINKS[1]);
    let server = host.serve(builder, answer_everybody);
    let told = elsewhere.asks_for_a_lease("-t 1 -T 1");
    assert_eq!(told, Err("leasefail".to_owned()));
    assert_eq!(here.asks_for_a_lease(PATIENT), Ok(lease_from(OWN[1])));
    assert_served(server, 2);
}

/// By the only link that the server has.
fn answer_everybody(
    bytes: &[u8],
    peer: SocketAddr,
    socket: &SocketHandle,
) -> Result<(), HandlerError> {
    assert_eq!(peer, "0.0.0.0:68".parse().expect("an address"));
    Ok(socket.send_to(&answer(bytes, OWN[1])?, CLIENTS)?)
}

/// Each question was answered, and there were as many as that or, if somebody
/// was slow, more.
#[track_caller]
fn assert_served(server: TestServer, least: u64) {
    let stats = server.stop().stats;
    assert!(stats.handled >= least, "{stats}");
    assert_eq!(stats.refused.by(Refusal::Unspecified), 0, "{stats}");
    assert_eq!(stats.replies.sent, stats.received, "{stats}");
}

/// A host with two links, and a host without an address on each.
struct Host {
    here: Namespace,
    clients: [Client; 2],
}

impl Host {
    fn new() -> Self {
        let here = Namespace::new();
        let clients = [0, 1].map(|number| {
            let (link, own) = (LINKS[number], OWN[number]);
            let there = Namespace::new();
            here.join(&there, link);
            here.ip(&format!("address add {own}/24 brd + dev {link}"));
            Client { there, link }
        });
        Self { here, clients }
    }

    /// What every server of DHCP asks for.
    #[track_caller]
    fn serve(&self, builder: Builder<ThreadingUdpServer>, f: impl Handle) -> TestServer {
        self.here.run(move || {
            let builder = builder
                .allow_unspecified_sources(true)
                .allow_broadcast(true);
            let server = builder.bind_fn("0.0.0.0:67", f);
            TestServer::spawn(server.expect("nobody is there"))
        })
    }
}

/// `udhcpc` on a host of its own.
struct Client {
    there: Namespace,
    link: &'static str,
}

impl Client {
    /// What it got, or why it got nothing.
    #[track_caller]
    fn asks_for_a_lease(&self, patience: &str) -> Result<String, String> {
        let mut command = Command::new("udhcpc");
        command.args(["-f", "-q", "-n", "-i", self.link, "-s", SCRIPT]);
        command.args(patience.split(' ')).stdin(Stdio::null());
        let output = self.there.run(move || command.output()).expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = said.lines().last().unwrap_or_default().to_owned();
        match output.status.success() {
            true => Ok(last),
            false => Err(last),
        }
    }
}

/// Says what happened. A file that tests write themselves may be busy when it is to
/// run: some other test's child had it open when it began.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/udhcpc.sh");

fn lease_from(own: Ipv4Addr) -> String {
    let ip = leased_by(own);
    format!("{ip}/24 by {own} from {own} for {LEASE} s")
}

/// All that a server has to lease.
fn leased_by(own: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = own.octets();
    Ipv4Addr::new(a, b, c, 77)
}

/// Answers DISCOVER with OFFER, and REQUEST with ACK.
fn answer(question: &[u8], own: Ipv4Addr) -> Result<Vec<u8>, HandlerError> {
    let leased = leased_by(own).octets();
    let (fixed, options) = question.split_at_checked(FIXED).ok_or("too short")?;
    let kind = match option(options, KIND) {
        Some([1]) => 2,
        Some([3]) => {
            let asked = (option(options, REQUESTED), option(options, SERVER));
            if asked != (Some(&leased[..]), Some(&own.octets()[..])) {
                return Err(format!("not what was offered: {asked:?}").into());
            }
            5
        }
        other => return Err(format!("no such kind: {other:?}").into()),
    };
    let mut answer = fixed.to_vec();
    answer[0] = 2;
    answer[LEASED..LEASED + 4].copy_from_slice(&leased);
    for (code, data) in [
        (KIND, &[kind][..]),
        (SERVER, &own.octets()),
        (LEASE_TIME, &LEASE.to_be_bytes()),
        (MASK, &[255, 255, 255, 0]),
        (ROUTER, &own.octets()),
        (END, &[]),
    ] {
        answer.extend([code, u8::try_from(data.len())?]);
        answer.extend(data);
    }
    Ok(answer)
}

/// The data of this option.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [code, len, rest @ ..] = options {
        let (data, behind) = rest.split_at_checked((*len).into())?;
        if *code == wanted {
            return Some(data);
        }
        options = behind;
    }
    None
}

/// What stands before the options, the magic number included.
const FIXED: usize = 240;
/// Where the client's address stands.
const LEASED: usize = 16;

/// Options (RFC 2132).
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const REQUESTED: u8 = 50;
const LEASE_TIME: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const END: u8 = 255;

/// In seconds.
const LEASE: u32 = 4_321;
/// Asks again after a second, for as long as anything may take.
const PATIENT: &str = "-t 10 -T 1";

const LINKS: [&str; 2] = ["lan1", "lan2"];
/// The server's addresses on them.
const OWN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1)];
const CLIENTS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 68);
