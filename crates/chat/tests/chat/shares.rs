//! What one member, and one host, can make the room do.

use crate::people::{Person, Room};

#[test]
fn a_flood_is_told_its_sender_and_nobody_else() {
    let mut room = Room::open(&["--member-lines", "3"]);
    let flooder = Person::join(&mut room, "flooder", &[]);
    let bob = Person::join(&mut room, "bob", &[&flooder]);
    // A line comes free every 3 s, so that this would take ten minutes.
    for _ in 0..200 {
        flooder.says("spam");
    }
    flooder.says("/quit");
    let refused = std::iter::from_fn(|| Some(flooder.reads()))
        .take_while(|line| line != "* bye")
        .inspect(|line| assert_eq!(line, "* not sent: too many lines; wait a few seconds"))
        .count();
    assert!((1..100).contains(&refused), "told {refused} times");
    let heard = std::iter::from_fn(|| Some(bob.reads()))
        .take_while(|line| line != "* flooder left")
        .inspect(|line| assert_eq!(line, "flooder: spam"))
        .count();
    assert!((3..100).contains(&heard), "{heard} lines of 200");
    room.settle();
    bob.has_heard_all();
}

#[test]
fn a_host_has_so_many_seats_and_joins() {
    let mut room = Room::open(&["--host-members", "2", "--host-joins", "3"]);
    let one = Person::join(&mut room, "one", &[]);
    let two = Person::join(&mut room, "two", &[&one]);
    let three = Person::near(room.addr);
    three.says("/join three-with-a-long-name");
    three.hears("* no: no seats left for your host");
    two.says("/quit");
    two.hears("* bye");
    one.hears("* two left");
    room.shows("* two left");
    let three = Person::join(&mut room, "three", &[&one]);
    three.says("/quit");
    three.hears("* bye");
    one.hears("* three left");
    room.settle();
    one.has_heard_all();
}

#[test]
fn a_limit_of_nothing_is_no_limit_that_can_be_asked_for() {
    let args = ["127.0.0.1:0", "--member-lines", "0"];
    let end = crate::program::Program::example("chat_server", &args).end();
    assert_eq!(end.status.code(), Some(2), "{end:?}");
    assert!(end.stderr[0].contains("--member-lines"), "{end:?}");
}
