//! Our server, asked by other people's programs.

use std::process::Command;

use crate::program::{Program, has};

#[test]
fn pythons_socket_gets_its_answers() {
    if !has("python3") {
        return;
    }
    let client = r"
import socket, sys
client = socket.socket(type=socket.SOCK_DGRAM)
client.settimeout(10)
server_addr = ('127.0.0.1', int(sys.argv[1]))
for msg in [b'hello', b'', b'baby~', b'baby~', b'baby~']:
    client.sendto(msg, server_addr)
    msg, addr = client.recvfrom(1024)
    assert addr == server_addr, addr
    print(msg.decode('utf-8'))
";
    for args in [&[][..], &["--forking"][..]] {
        let (_server, addr) = Program::uppercase_echo(args);
        let port = addr.port().to_string();
        let python = Program::start(
            "python3",
            Command::new("python3").args(["-c", client, &port]),
        );
        let end = python.end();
        assert!(end.status.success(), "{end:?}");
        assert_eq!(end.stdout, ["HELLO", "", "BABY~", "BABY~", "BABY~"]);
    }
}

#[test]
fn nc_gets_its_answer() {
    if !has("nc") {
        return;
    }
    let (_server, addr) = Program::uppercase_echo(&[]);
    let port = addr.port().to_string();
    let mut nc = Program::start("nc", Command::new("nc").args(["-u", "127.0.0.1", &port]));
    nc.type_in("hello\n");
    assert_eq!(nc.stdout.line(), "HELLO");
}
