//! What one member, or one host, can make the room do.

use proptest::prelude::*;

use super::*;
use crate::host::Host;

/// An address of one of many hosts.
fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

/// A room with the limits that it has unless told otherwise.
fn room() -> Scene {
    Scene::of(Limits::default())
}

/// Joins, or is refused; the last answer.
fn try_join(scene: &mut Scene, from: SocketAddr, name: &str) -> Outcome {
    let out = scene.hear(from, format!("/join {name}").as_bytes());
    let ticket = out.sends.first().and_then(|(_, line)| {
        let Some(Notice::Ticket { name, token }) = Notice::parse(line) else {
            return None;
        };
        Some(format!("/join {name} {token}"))
    });
    match ticket {
        Some(line) => scene.hear(from, line.as_bytes()),
        None => out,
    }
}

/// The lines sent to this address, over all outcomes.
fn heard_by(outs: &[Outcome], addr: SocketAddr) -> Vec<&str> {
    outs.iter()
        .flat_map(|out| &out.sends)
        .filter(|(to, _)| *to == addr)
        .map(|(_, line)| line.as_str())
        .collect()
}

#[test]
fn a_flood_of_lines_reaches_the_room_at_the_members_pace() {
    let mut scene = room();
    let (alice, bob) = (at(1, 1), at(2, 1));
    scene.join(alice, "alice");
    scene.join(bob, "bob");
    for _ in 0..3 {
        let outs: Vec<Outcome> = (0..5_218).map(|_| scene.hear(alice, b"spam")).collect();
        let limit = Limits::default().member_lines as usize;
        assert_eq!(heard_by(&outs, bob), vec!["alice: spam"; limit]);
        let shown: usize = outs.iter().map(|out| out.shows.len()).sum();
        assert_eq!(shown, limit, "the operator is spared as well");
        let refusal = format!("* {TOO_MANY_LINES}");
        let refusals = limits::REFUSALS as usize;
        assert_eq!(heard_by(&outs, alice), vec![refusal.as_str(); refusals]);
        assert_eq!(
            scene.hear(bob, b"hi").sends,
            [(alice, "bob: hi".to_owned())],
            "nobody else has less"
        );
        scene.pass(10);
    }
    while !scene.hear(alice, b"spam").sends.is_empty() {}
    assert_eq!(
        scene.hear(alice, b"/ping").sends,
        [(alice, "* pong".to_owned())]
    );
    let out = scene.hear(alice, b"/quit");
    assert_eq!(heard_by(&[out], bob), ["* alice left"]);
}

#[test]
fn every_way_to_make_the_room_speak_counts() {
    let long = "x".repeat(901);
    for line in [
        "hello",
        "@bob psst",
        "@nobody psst",
        "@operator psst",
        "/who",
        "/help",
        "/nonsense",
        "/name bob",
        "/join bob",
        &long,
    ] {
        let mut scene = room();
        scene.join(at(1, 1), "alice");
        scene.join(at(2, 1), "bob");
        let outs: Vec<Outcome> = (0..1_000)
            .map(|_| scene.hear(at(1, 1), line.as_bytes()))
            .collect();
        let done = outs.iter().map(|out| out.sends.len().max(out.shows.len()));
        let limit = Limits::default().member_lines + limits::REFUSALS;
        assert_eq!(done.sum::<usize>(), limit as usize, "{line:.20}");
    }
    let mut scene = room();
    scene.join(at(1, 1), "alice");
    scene.join(at(2, 1), "bob");
    let outs: Vec<Outcome> = (0..1_000)
        .map(|count| scene.hear(at(1, 1), format!("/name alice{}", count % 2).as_bytes()))
        .collect();
    let limit = Limits::default().member_lines as usize;
    assert_eq!(heard_by(&outs, at(2, 1)).len(), limit, "new names");
}

#[test]
fn the_members_of_one_host_share_its_lines() {
    let mut scene = room();
    for port in 1..=16 {
        scene.join(at(1, port), &format!("one{port}"));
    }
    scene.join(at(2, 1), "bob");
    let outs: Vec<Outcome> = (0..16 * 100)
        .map(|count| scene.hear(at(1, 1 + count % 16), b"spam"))
        .collect();
    let limit = Limits::default().host_lines as usize;
    assert_eq!(heard_by(&outs, at(2, 1)).len(), limit);
    assert_eq!(scene.hear(at(2, 1), b"hi").sends.len(), 16);
}

#[test]
fn one_host_takes_its_seats_and_no_more() {
    let limit = Limits::default().members_per_host;
    let v4 = |count: u16| at(1, count);
    let v6 = |count: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, count], 1));
    for addr in [&v4 as &dyn Fn(u16) -> SocketAddr, &v6] {
        let mut scene = room();
        let outs: Vec<Outcome> = (1..=300)
            .map(|count| {
                if count % 20 == 0 {
                    scene.pass(60);
                    for seated in 1..=limit as u16 {
                        scene.hear(addr(seated), b"/ping");
                    }
                }
                try_join(&mut scene, addr(count), &format!("member{count}"))
            })
            .collect();
        assert_eq!(scene.room.members.count(), limit);
        let refused = outs.iter().flat_map(|out| &out.sends).any(|(_, line)| {
            Notice::parse(line) == Some(Notice::Refused("no seats left for your host"))
        });
        assert!(refused, "they are told why: {outs:?}");
        scene.join(at(2, 1), "bob");
        scene.hear(addr(1), b"/quit");
        scene.pass(10);
        scene.join(addr(1), "member1");
    }
}

#[test]
fn coming_and_going_without_end_is_refused() {
    let mut scene = room();
    scene.join(at(2, 1), "bob");
    let limit = Limits::default().host_joins as usize;
    for _ in 0..2 {
        let outs: Vec<Outcome> = (0..1_000)
            .flat_map(|_| {
                let joined = try_join(&mut scene, at(1, 1), "alice");
                [joined, scene.hear(at(1, 1), b"/quit")]
            })
            .collect();
        let news = heard_by(&outs, at(2, 1));
        let joins = news.iter().filter(|line| **line == "* alice joined");
        assert_eq!(joins.count(), limit);
        assert_eq!(news.len(), 2 * limit, "each join has one goodbye");
        let refusals = heard_by(&outs, at(1, 1))
            .into_iter()
            .filter(|line| matches!(Notice::parse(line), Some(Notice::Refused(_))))
            .count();
        assert_eq!(refusals, limits::REFUSALS as usize);
        scene.hear(at(2, 1), b"/ping");
        scene.pass(60);
    }
}

#[test]
fn an_address_that_is_not_validated_uses_up_nothing_of_the_members() {
    let mut scene = room();
    scene.join(at(1, 1), "alice");
    scene.join(at(2, 1), "bob");
    for port in 2..2_000 {
        scene.hear(at(1, port), b"forged");
        scene.hear(at(1, port), b"/join forged");
        scene.hear(at(1, port), b"/join forged 0123456789a");
    }
    let out = scene.hear(at(1, 1), b"hello");
    assert_eq!(heard_by(&[out], at(2, 1)), ["alice: hello"]);
    scene.join(at(1, 2), "carol");
}

#[test]
fn guests_of_one_host_push_out_only_their_own() {
    for hosts in [1, 8] {
        let mut scene = room();
        let honest = at(200, 1);
        scene.hear(honest, b"hello?");
        for count in 0..10_000 {
            if count % 100 == 0 {
                scene.pass(1);
            }
            let host = 1 + (count % hosts) as u8;
            scene.hear(at(host, 1 + count / hosts), b"me! me!");
        }
        let out = scene.room.on_operator_line("@guest-1 yes?");
        assert_eq!(out.sends, [(honest, "yes?".to_owned())], "{hosts} hosts");
        let of = |host| {
            let guests = scene.room.guests.iter();
            guests
                .filter(|guest| Host::of(guest.peer.addr) == Host::of(at(host, 1)))
                .count()
        };
        assert!(of(1) > 1 && of(1) <= Limits::default().guests_per_host);
    }
}

#[test]
fn the_operator_is_shown_what_can_be_read() {
    let mut scene = room();
    let shown: usize = (0..10_000)
        .map(|count| scene.hear(at(1, 1 + count), b"spam").shows)
        .map(|shows| shows.iter().filter(|line| line.ends_with(": spam")).count())
        .sum();
    assert_eq!(shown, Limits::default().guest_lines as usize);
    assert_eq!(
        scene.hear(at(2, 1), b"hello").shows.len(),
        2,
        "another host"
    );
}

/// What a member or a stranger of one host does.
fn any_deed() -> impl Strategy<Value = (u16, String)> {
    let line = prop_oneof![
        "[a-c]{0,3}",
        "@(other|a|b) x",
        "/(quit|who|ping|name [a-c]{1,3})",
        "/join [a-e]",
    ];
    (1..10u16, line)
}

proptest! {
    #[test]
    fn others_are_sent_no_more_than_a_hosts_share(deeds in prop::collection::vec(any_deed(), 0..400)) {
        let limits = Limits {
            member_lines: 5,
            host_lines: 8,
            host_joins: 4,
            members_per_host: 3,
            ..Limits::default()
        };
        let mut scene = Scene::of(limits);
        let other = at(2, 1);
        scene.join(other, "other");
        let outs: Vec<Outcome> = deeds
            .iter()
            .map(|(port, line)| match line.strip_prefix("/join ") {
                Some(name) => try_join(&mut scene, at(1, *port), name),
                None => scene.hear(at(1, *port), line.as_bytes()),
            })
            .collect();
        prop_assert!(scene.room.members.count() <= 3 + 1);
        // Each line of a member, each join, and one goodbye for each join.
        let share = limits.host_lines + 2 * limits.host_joins;
        prop_assert!(heard_by(&outs, other).len() <= share as usize);
    }
}
