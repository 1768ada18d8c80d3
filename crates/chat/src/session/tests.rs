//! The session, driven without a server.

use super::*;

/// A session and its clock.
struct Scene {
    session: Session,
    now: Instant,
}

impl Scene {
    /// Has just asked to join as `bob`.
    fn joining() -> Self {
        let now = Instant::now();
        let timing = Timing {
            join_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            grace: Duration::from_secs(1),
        };
        let server = SocketAddr::from(([127, 0, 0, 1], 8080));
        let name = Name::parse("bob").expect("a name");
        let (session, effects) = Session::start(now, server, name, timing);
        assert_eq!(effects, [send("/join bob")]);
        Self { session, now }
    }

    /// Is in the room.
    fn inside() -> Self {
        let mut scene = Self::joining();
        let effects = scene.hear("* you are bob (/help lists the commands)");
        assert_eq!(
            effects,
            [
                show("* you are bob (/help lists the commands)"),
                Effect::Listen
            ]
        );
        scene
    }

    fn hear(&mut self, line: &str) -> Effects {
        self.session.on_datagram(self.now, line.as_bytes())
    }

    fn type_line(&mut self, line: &str) -> Effects {
        self.session.on_line(self.now, line)
    }

    /// Lets time pass, tick by tick, and gives all that is done meanwhile.
    fn pass(&mut self, time: Duration) -> Effects {
        let end = self.now + time;
        let mut effects = vec![];
        while let Some(at) = self.session.deadline().filter(|&at| at <= end) {
            assert!(at >= self.now, "a deadline does not lie in the past");
            self.now = at;
            let done = self.session.on_tick(at);
            let over = done.iter().any(|effect| matches!(effect, Effect::End(_)));
            effects.extend(done);
            if over {
                break;
            }
            assert!(
                self.session.deadline() > Some(at),
                "each tick moves the deadline"
            );
        }
        self.now = end;
        effects
    }
}

fn send(line: &str) -> Effect {
    Effect::Send(line.to_owned())
}

fn show(line: &str) -> Effect {
    Effect::Show(line.to_owned())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_ticket_is_sent_back_once() {
    let mut scene = Scene::joining();
    assert_eq!(
        scene.hear("* send /join bob 0123456789a"),
        [send("/join bob 0123456789a")]
    );
    assert_eq!(
        scene.hear("* /join bob 0123456789b"),
        [],
        "a server that takes none is not pursued"
    );
    assert_eq!(scene.pass(SECOND / 2), [send("/join bob")]);
    assert_eq!(
        scene.hear("* /join bob 0123456789c"),
        [send("/join bob 0123456789c")]
    );
    assert_eq!(
        scene.hear("* you are bob (/help lists the commands)").len(),
        2
    );
}

#[test]
fn a_ticket_for_another_name_is_not_ours() {
    assert_eq!(Scene::joining().hear("* /join eve 0123456789a"), []);
    assert_eq!(
        Scene::inside().hear("* /join bob 0123456789a"),
        [],
        "not asked for"
    );
}

#[test]
fn a_lost_join_is_repeated_and_at_last_given_up() {
    let mut scene = Scene::joining();
    let effects = scene.pass(SECOND * 60);
    let asked = effects
        .iter()
        .filter(|effect| **effect == send("/join bob"))
        .count();
    assert_eq!(asked, 4, "after 0.5, 1.5, 3.5 and 7.5 seconds: {effects:?}");
    assert!(effects.contains(&show("* no answer from 127.0.0.1:8080; still trying")));
    let end = Effect::End(Err(
        "no answer from 127.0.0.1:8080, asked 5 times".to_owned()
    ));
    assert_eq!(effects.last(), Some(&end));
}

#[test]
fn an_absent_server_is_told_of_once_and_tried_again() {
    let mut scene = Scene::joining();
    let told = show("* no server at 127.0.0.1:8080 (refused); still trying");
    assert_eq!(scene.session.on_unreachable(scene.now, "refused"), [told]);
    assert_eq!(scene.session.on_unreachable(scene.now, "refused"), []);
    assert_eq!(scene.pass(SECOND / 2), [send("/join bob")]);
}

#[test]
fn a_refused_name_ends_the_program() {
    let effects = Scene::joining().hear("* no: name taken");
    assert_eq!(
        effects,
        [Effect::End(
            Err("cannot join as bob: name taken".to_owned())
        )]
    );
}

#[test]
fn lines_are_sent_as_typed_and_shown_as_received() {
    let mut scene = Scene::inside();
    assert_eq!(scene.type_line("你好"), [send("你好")]);
    assert_eq!(scene.type_line("/who"), [send("/who")]);
    assert_eq!(scene.type_line(" "), [], "an empty line is not sent");
    assert_eq!(scene.hear("alice: hi\n"), [show("alice: hi")]);
    assert_eq!(
        scene.hear("\u{1b}[2Jalice"),
        [show("\u{fffd}[2Jalice")],
        "servers are not trusted"
    );
    assert_eq!(scene.hear("* pong"), []);
    assert_eq!(
        scene.hear("* no: name taken"),
        [show("* no: name taken")],
        "a refused /name"
    );
}

#[test]
fn signs_of_life_are_sent_while_they_are_answered() {
    let mut scene = Scene::inside();
    for _ in 0..5 {
        assert_eq!(scene.pass(SECOND * 15), [send("/ping")]);
        assert_eq!(scene.hear("* pong"), []);
    }
}

#[test]
fn messages_of_others_do_not_put_off_signs_of_life() {
    let mut scene = Scene::inside();
    scene.pass(SECOND * 14);
    scene.hear("alice: hi");
    assert_eq!(scene.pass(SECOND), [send("/ping")]);
}

#[test]
fn an_outage_is_told_of_and_so_is_its_end() {
    let mut scene = Scene::inside();
    let lost = show("* no answer from 127.0.0.1:8080; still trying");
    let effects = scene.pass(SECOND * 20);
    assert!(
        !effects.contains(&lost),
        "one lost datagram is no outage: {effects:?}"
    );
    let effects = scene.pass(SECOND * 60);
    assert_eq!(
        effects.iter().filter(|effect| **effect == lost).count(),
        1,
        "{effects:?}"
    );
    assert_eq!(
        scene.hear("* pong"),
        [show("* 127.0.0.1:8080 answers again")]
    );
    assert_eq!(scene.hear("* pong"), []);
}

#[test]
fn a_server_that_went_away_is_told_of_at_once() {
    let mut scene = Scene::inside();
    let lost = show("* lost 127.0.0.1:8080 (refused); still trying");
    assert_eq!(scene.session.on_unreachable(scene.now, "refused"), [lost]);
    assert_eq!(scene.session.on_unreachable(scene.now, "refused"), []);
    assert_eq!(
        scene.type_line("one"),
        [show("* kept until the server answers: one")]
    );
    assert_eq!(scene.pass(SECOND * 2), [send("/ping")], "and is soon tried");
    let effects = scene.hear("* /join NAME");
    assert_eq!(
        effects,
        [
            show("* 127.0.0.1:8080 answers again"),
            show("* no longer in the room; joining again"),
            send("/join bob")
        ],
        "a new server does not know us"
    );
    assert_eq!(
        scene.type_line("two"),
        [show("* kept until the server answers: two")]
    );
    assert_eq!(
        scene.hear("* /join NAME"),
        [],
        "late answers to other pings change nothing"
    );
    assert_eq!(
        scene.hear("* you are bob"),
        [show("* you are bob"), send("one"), send("two")],
        "the keyboard is open already"
    );
    assert_eq!(scene.type_line("hi"), [send("hi")]);
}

#[test]
fn what_was_kept_is_sent_in_order_once_the_server_answers() {
    let mut scene = Scene::inside();
    scene.session.on_unreachable(scene.now, "refused");
    for count in 0..20 {
        let line = count.to_string();
        assert_eq!(
            scene.type_line(&line),
            [show(&format!("* kept until the server answers: {line}"))]
        );
    }
    assert_eq!(scene.type_line("20"), [show("* not sent: 20")], "too many");
    let effects = scene.hear("* pong");
    assert_eq!(effects[0], show("* 127.0.0.1:8080 answers again"));
    let sent: Vec<Effect> = (0..20).map(|count| send(&count.to_string())).collect();
    assert_eq!(effects[1..], sent);
    assert_eq!(scene.hear("* pong"), [], "once");
}

#[test]
fn what_is_kept_is_not_dropped_without_a_word() {
    let mut scene = Scene::inside();
    scene.session.on_unreachable(scene.now, "refused");
    scene.type_line("one");
    assert_eq!(
        scene.session.on_interrupt(scene.now),
        [show("* not sent: one"), send("/quit")]
    );
    assert_eq!(scene.type_line("two"), [show("* not sent: two")]);
}

#[test]
fn what_the_server_has_perhaps_not_heard_is_named() {
    let lost = show("* lost 127.0.0.1:8080 (refused); still trying");
    let doubt = |line| show(&format!("* perhaps nobody got this: {line}"));
    let mut scene = Scene::inside();
    scene.type_line("heard");
    scene.hear("* pong");
    scene.type_line("hi");
    assert_eq!(
        scene.session.on_unreachable(scene.now, "refused"),
        [lost.clone(), doubt("hi")]
    );

    let mut scene = Scene::inside();
    scene.type_line("heard");
    scene.hear("* the server closes");
    assert_eq!(scene.session.on_unreachable(scene.now, "refused"), [lost]);

    // The server was restarted before anyone noticed.
    let mut scene = Scene::inside();
    scene.type_line("hello all");
    assert_eq!(
        scene.hear("* you are a guest; /join NAME"),
        [
            show("* no longer in the room; joining again"),
            doubt("hello all"),
            send("/join bob")
        ]
    );

    let mut scene = Scene::inside();
    scene.type_line("into the void");
    let effects = scene.pass(SECOND * 60);
    assert!(effects.contains(&doubt("into the void")), "{effects:?}");
}

#[test]
fn the_new_name_is_kept_when_joining_again() {
    let mut scene = Scene::inside();
    scene.hear("* you are 小明 (/help lists the commands)");
    let effects = scene.hear(&Notice::Expired.to_string());
    assert_eq!(effects.last(), Some(&send("/join 小明")));
    let effects = scene.pass(SECOND * 3600);
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::End(_))),
        "never given up"
    );
}

#[test]
fn a_name_taken_meanwhile_can_be_chosen_anew() {
    let mut scene = Scene::inside();
    scene.hear(&Notice::Expired.to_string());
    assert_eq!(scene.hear("* no: name taken").len(), 2);
    assert_eq!(scene.session.deadline(), None);
    assert_eq!(scene.type_line("hello").len(), 1);
    assert_eq!(scene.type_line("/name a:b").len(), 1);
    assert_eq!(scene.type_line("/join rob"), [send("/join rob")]);
    assert_eq!(
        scene.hear("* /join rob 0123456789a"),
        [send("/join rob 0123456789a")]
    );
}

#[test]
fn leaving_says_goodbye_and_waits_for_the_answer() {
    let mut scene = Scene::inside();
    assert_eq!(scene.type_line("/quit "), [send("/quit")]);
    assert_eq!(scene.hear("* bye"), [Effect::End(Ok(()))]);

    let mut scene = Scene::inside();
    assert_eq!(scene.session.on_interrupt(scene.now), [send("/quit")]);
    let effects = scene.pass(SECOND * 10);
    assert_eq!(
        effects,
        [send("/quit"), send("/quit"), Effect::End(Ok(()))],
        "it may get lost"
    );
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let mut scene = Scene::inside();
    scene.session.on_interrupt(scene.now);
    assert_eq!(scene.session.on_interrupt(scene.now), [Effect::End(Ok(()))]);
    let mut scene = Scene::joining();
    assert_eq!(scene.session.on_interrupt(scene.now), [Effect::End(Ok(()))]);
}

#[test]
fn the_end_of_the_input_leaves_time_for_answers() {
    let mut scene = Scene::inside();
    assert_eq!(scene.session.on_end_of_input(scene.now), []);
    assert_eq!(scene.hear("alice: wait"), [show("alice: wait")]);
    assert_eq!(scene.pass(SECOND), [send("/quit")]);
    assert_eq!(scene.hear("* bye"), [Effect::End(Ok(()))]);
}
