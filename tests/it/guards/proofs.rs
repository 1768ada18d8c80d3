//! Tokens, and what comes of sending them back.

use socketserver::{AmplificationLimit, HandlerError, SocketHandle, ThreadingUdpServer, Token};
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Client, ServerBuilder, TestServer, wait_until};

/// Sends a token to whoever asks, says whether anything else is one, and
/// whether the peer is validated.
fn doorkeeper(bytes: &[u8], _: SocketAddr, socket: &SocketHandle) -> Result<(), HandlerError> {
    match bytes {
        b"token, please" => Ok(socket.reply(socket.token().as_ref())?),
        b"in hex, please" => Ok(socket.reply(socket.token().to_string().as_bytes())?),
        b"a short one, please" => Ok(socket.reply(&socket.token().short())?),
        b"am I validated by now?" => {
            let answer: &[u8] = if socket.is_validated() { b"yes" } else { b"no" };
            Ok(socket.reply(answer)?)
        }
        _ => {
            let answer: &[u8] = if socket.validate(bytes) {
                b"good"
            } else {
                b"bad"
            };
            Ok(socket.reply(answer)?)
        }
    }
}

fn is_validated(client: &Client) -> bool {
    client.ask(b"am I validated by now?") == b"yes"
}

fn servers() -> [TestServer; 2] {
    let limited = ThreadingUdpServer::builder().amplification_limit(AmplificationLimit::new());
    [
        ThreadingUdpServer::builder().serving(doorkeeper),
        limited.serving(doorkeeper),
    ]
}

#[test]
fn who_sends_a_token_back_is_validated_with_a_limit_and_without() {
    for server in servers() {
        for form in ["token, please", "in hex, please", "a short one, please"] {
            let client = Client::of(server.local_addr());
            assert!(!is_validated(&client), "a stranger");
            let token = client.ask(form.as_bytes());
            assert!(!is_validated(&client), "who has asked only");
            assert_eq!(client.ask(&token), b"good", "{form}");
            assert!(is_validated(&client), "who has sent it back");
        }
    }
}

#[test]
fn a_token_is_of_no_use_to_anybody_else() {
    let [server, another] = servers();
    let client = Client::of(server.local_addr());
    let token = client.ask(b"token, please");
    assert_eq!(token.len(), Token::LEN);
    let thief = Client::of(server.local_addr());
    assert_eq!(thief.ask(&token), b"bad", "of another port");
    assert!(!is_validated(&thief));
    client.send_to(&token, another.local_addr());
    let (answer, _) = client.receive_from();
    assert_eq!(answer, b"bad", "another server has another secret");
    assert_eq!(client.ask(&token), b"good", "of its owner it is");
    assert!(!is_validated(&thief), "and of nobody besides");
}

#[test]
fn a_proof_is_valid_for_as_long_as_was_said() {
    let limit = AmplificationLimit::new().validity(Duration::from_millis(300));
    let server = ThreadingUdpServer::builder()
        .amplification_limit(limit)
        .serving(doorkeeper);
    let client = Client::of(server.local_addr());
    let token = client.ask(b"token, please");
    assert_eq!(client.ask(&token), b"good");
    wait_until("the proof is too old", || !is_validated(&client));
    assert_eq!(client.ask(&token), b"good", "the token is not, yet");
}

#[test]
fn an_address_that_somebody_marks_validated_needs_no_token() {
    let server = ThreadingUdpServer::builder()
        .amplification_limit(AmplificationLimit::new())
        .serving(|bytes, addr, socket| {
            if bytes == b"mark me" {
                socket.detach().mark_validated(addr);
            }
            Ok(socket.reply(&[b'x'; 5_000])?)
        });
    let client = Client::of(server.local_addr());
    client.send(b"tell me all");
    assert_eq!(client.ask(b"mark me").len(), 5_000);
    let replies = server.stop().stats.replies;
    assert_eq!((replies.sent, replies.withheld), (1, 1));
}

#[test]
fn servers_with_one_secret_accept_each_others_tokens() {
    let [one, other] = [1, 2].map(|_| {
        ThreadingUdpServer::builder()
            .token_secret([9; 32])
            .serving(doorkeeper)
    });
    let client = Client::of(one.local_addr());
    let token = client.ask(b"token, please");
    client.send_to(&token, other.local_addr());
    let (answer, _) = client.receive_from();
    assert_eq!(answer, b"good");
    assert!(!is_validated(&client), "proofs are not shared");
}
