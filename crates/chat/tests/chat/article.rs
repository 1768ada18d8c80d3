//! The article's own chat client against our server.

use std::process::Command;

use crate::people::{Person, Room};
use crate::program::{Program, has};

/// The article's words; only the port is the server's.
const CLIENT: &str = r"
import socket, sys
client = socket.socket(type=socket.SOCK_DGRAM)
server_addr = ('127.0.0.1', int(sys.argv[1]))
while True:
    msg = input('>>>:')
    msg = '客户端1的消息:%s'%msg
    client.sendto(msg.encode('utf-8'),server_addr)
    data,addr = client.recvfrom(1024)
    print(data)
";

#[test]
fn the_articles_client_gets_the_line_that_the_operator_types() {
    if !has("python3") {
        return;
    }
    let mut room = Room::open(&[]);
    let member = Person::join(&mut room, "bob", &[]);
    let port = room.addr.port().to_string();
    let mut python = Program::start(
        "python3",
        Command::new("python3")
            .args(["-u", "-c", CLIENT, &port])
            .env("PYTHONUTF8", "1"),
    );
    python.type_in("你好\n");
    room.server.stdout.line_with("* guest-1 writes from ");
    room.shows("guest-1: 客户端1的消息:你好");
    room.type_in("hello yourself");
    assert_eq!(python.stdout.line(), ">>>:b'hello yourself'");
    member.hears("operator: hello yourself");

    python.type_in("\n");
    room.shows("guest-1: 客户端1的消息:");
    room.type_in("好");
    assert_eq!(python.stdout.line(), r">>>:b'\xe5\xa5\xbd'");
    member.hears("operator: 好");
    room.settle();
    member.has_heard_all();
}
