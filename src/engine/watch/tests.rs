//! Traces: what is seen at one look after another, and what follows.

mod stage;

use super::*;
use stage::{Actor, Stage};

const MILLI: Duration = Duration::from_millis(1);

fn watch(stage: &Stage, cores: usize) -> Watch {
    Watch::new(stage.actors.len(), 2, 1, cores)
}

/// Lets `looks` milliseconds pass, each of which `play` changes; returns what was
/// decided when, but for what was merely seen or sent.
fn decided(
    watch: &mut Watch,
    stage: &mut Stage,
    looks: u64,
    mut play: impl FnMut(&mut Stage, u64),
) -> Vec<(u64, Decision)> {
    let mut all = Vec::new();
    for look in 1..=looks {
        stage.now += MILLI;
        play(stage, look);
        let decisions = watch.look(stage).iter().copied();
        let is_news = |decision: &Decision| {
            !matches!(
                decision,
                Decision::Saw(..)
                    | Decision::Waits(_)
                    | Decision::Send(_)
                    | Decision::LeaveAlone(_)
            )
        };
        all.extend(decisions.filter(is_news).map(|decision| (look, decision)));
    }
    all
}

fn first(decisions: &[(u64, Decision)], wanted: Decision) -> Option<u64> {
    let mut found = decisions.iter().filter(|(_, decision)| *decision == wanted);
    found.next().map(|(look, _)| *look)
}

/// Its thread runs all the time.
fn computes(stage: &mut Stage, id: WorkerId) {
    stage.actors[id].is_runnable = true;
    stage.actors[id].cpu += MILLI;
}

#[test]
fn quick_handlers_are_left_to_themselves_and_nobody_asks_about_their_threads() {
    let mut stage = Stage::inline();
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 200, |stage, look| {
        stage.actors[0].step = Some(look);
        stage.open_since = Some(look);
        computes(stage, 0);
    });
    let rescues = decisions
        .iter()
        .filter(|(_, decision)| *decision == Decision::Rescue(0));
    assert_eq!(
        rescues.count(),
        decisions.len(),
        "only that its batch is the same again and again: {decisions:?}"
    );
    assert_eq!(stage.asked.get(), 0);
    assert_eq!(watch.interval(), 2 * MILLI, "and the looks come less often");
}

#[test]
fn looks_come_rarely_while_they_could_change_nothing() {
    let mut stage = Stage::crowded(64);
    let mut watch_of_full = watch(&stage, 2);
    for (is_full, interval) in [(true, 4), (false, 1), (true, 4)] {
        stage.pool.is_full = is_full;
        decided(&mut watch_of_full, &mut stage, 1, |_, _| {});
        let expected = interval * MILLI;
        assert_eq!(watch_of_full.interval(), expected, "full: {is_full}");
    }

    for (cores, interval) in [(1, 2), (2, 1)] {
        let mut stage = Stage::inline();
        stage.is_cheap = false;
        let mut watch = watch(&stage, cores);
        decided(&mut watch, &mut stage, 200, |stage, look| {
            stage.actors[0].step = Some(look);
            computes(stage, 0);
        });
        let expected = interval * MILLI;
        assert_eq!(watch.interval(), expected, "computing on {cores} cores");
    }
}

#[test]
fn nobody_asks_about_a_thread_as_long_as_nothing_is_undone() {
    let mut stage = Stage::inline();
    (stage.open_since, stage.actors[0].unclaimed) = (None, 0);
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 200, |_, _| {});
    assert_eq!(decisions, []);
    assert_eq!(stage.asked.get(), 0);
}

/// Whoever is at another door is the help that there is.
#[test]
fn a_full_pool_with_one_at_another_door_goes_on_to_ask_who_is_stuck() {
    let mut stage = Stage::crowded(2);
    stage.waiting_since = None;
    (stage.pool.workers, stage.pool.is_full) = (3, true);
    let mut watch = Watch::new(64, 3, 2, 2);
    let decisions = decided(&mut watch, &mut stage, 100, |stage, look| {
        stage.is_dispatched = false;
        for id in [0, 1] {
            stage.actors[id].is_runnable = look < 10;
            stage.actors[id].cpu += MILLI * u32::from(look < 10);
        }
    });
    let summoned = first(&decisions, Decision::Summon(0)).expect("in the end");
    assert!((10..20).contains(&summoned), "at look {summoned}");
}

#[test]
fn who_waits_is_stuck_at_the_second_look() {
    let mut stage = Stage::inline();
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 3, |stage, _| {
        stage.actors[0].is_runnable = false;
    });
    assert_eq!(first(&decisions, Decision::Rescue(0)), Some(2));
    assert_eq!(first(&decisions, Decision::FillDoor(0)), Some(2));
}

#[test]
fn who_computes_is_helped_at_the_third_look_if_a_core_is_free_and_not_otherwise() {
    for (cores, rescued) in [(2, Some(3)), (1, None)] {
        let mut stage = Stage::inline();
        let mut watch = watch(&stage, cores);
        let decisions = decided(&mut watch, &mut stage, 15, |stage, _| computes(stage, 0));
        assert_eq!(
            first(&decisions, Decision::Rescue(0)),
            rescued,
            "{cores} cores"
        );
        assert_eq!(
            first(&decisions, Decision::FillDoor(0)),
            rescued,
            "{cores} cores"
        );
    }
}

#[test]
fn who_has_computed_for_twenty_milliseconds_is_stuck_and_replaced() {
    let mut stage = Stage::inline();
    stage.actors[1] = stage.actors[0];
    stage.actors.resize(8, Actor::default());
    (stage.pool.busy, stage.pool.lacks) = (2, true);
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 40, |stage, _| {
        computes(stage, 0);
        computes(stage, 1);
    });
    let rescued = first(&decisions, Decision::Rescue(0)).expect("in the end");
    assert!((21..25).contains(&rescued), "at look {rescued}");
    let grown = first(&decisions, Decision::Grow(1)).expect("in the end");
    assert!((21..25).contains(&grown), "at look {grown}");
}

#[test]
fn who_lacks_a_processor_is_believed_for_some_looks() {
    let mut stage = Stage::inline();
    let mut watch = watch(&stage, 2);
    // It would run, and uses nothing.
    let decisions = decided(&mut watch, &mut stage, 15, |_, _| {});
    let rescued = first(&decisions, Decision::Rescue(0)).expect("in the end");
    assert!((5..8).contains(&rescued), "at look {rescued}");
}

#[test]
fn where_the_system_does_not_tell_quick_handlers_are_believed_for_some_looks() {
    for (is_cheap, expected) in [(true, 6), (false, 2)] {
        let mut stage = Stage::inline();
        (stage.tells_cpu, stage.is_cheap) = (false, is_cheap);
        let mut watch = watch(&stage, 2);
        let decisions = decided(&mut watch, &mut stage, 15, |_, _| {});
        let rescued = first(&decisions, Decision::Rescue(0));
        assert_eq!(rescued, Some(expected), "cheap: {is_cheap}");
    }
}

#[test]
fn replies_of_a_stuck_handler_are_sent_for_it_until_it_is_left_alone() {
    let mut stage = Stage::inline();
    let mut watch = watch(&stage, 2);
    stage.actors[0].is_runnable = false;
    let (mut sent, mut left_alone) = (0, 0);
    for _ in 0..100 {
        stage.now += MILLI;
        for decision in watch.look(&stage) {
            sent += u32::from(*decision == Decision::Send(0));
            left_alone += u32::from(*decision == Decision::LeaveAlone(0));
        }
    }
    assert_eq!((sent, left_alone), (31, 1));
    assert_eq!(watch.left_alone(), None, "not with what is unclaimed");
    stage.actors[0].unclaimed = 0;
    watch.look(&stage);
    assert_eq!(watch.left_alone(), Some(1), "nothing to look after");
    stage.actors[0].step = Some(3);
    watch.look(&stage);
    assert_eq!(watch.left_alone(), None, "it has moved");
}

#[test]
fn the_pool_doubles_while_handlers_wait_and_something_waits_for_them() {
    let mut stage = Stage::crowded(8);
    let mut watch = watch(&stage, 2);
    // They wait for less than the time between two looks.
    let decisions = decided(&mut watch, &mut stage, 6, |stage, look| {
        for actor in &mut stage.actors[..8] {
            actor.step = Some(look);
        }
    });
    assert_eq!(first(&decisions, Decision::Grow(8)), Some(2));
}

#[test]
fn where_handlers_wait_the_pool_has_somebody_idle_before_anything_waits_for_nobody() {
    let mut stage = Stage::crowded(8);
    (stage.waiting_since, stage.open_since, stage.pool.lacks) = (None, None, false);
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 4, |_, _| {});
    assert_eq!(first(&decisions, Decision::Grow(2)), Some(2), "a quarter");
    stage.pool.idle = 4;
    let decisions = decided(&mut watch, &mut stage, 100, |_, _| {});
    assert_eq!(decisions, [], "so many are enough");
}

#[test]
fn the_pool_does_not_grow_for_handlers_that_compute() {
    for is_dispatched in [true, false] {
        let mut stage = Stage::crowded(4);
        (stage.is_dispatched, stage.has_pending) = (is_dispatched, true);
        let mut watch = watch(&stage, 2);
        let decisions = decided(&mut watch, &mut stage, 200, |stage, look| {
            for id in 0..4 {
                stage.actors[id].step = Some(look / 5);
                computes(stage, id);
            }
        });
        let has_grown = decisions
            .iter()
            .any(|(_, decision)| matches!(decision, Decision::Grow(_)));
        assert!(!has_grown, "dispatched: {is_dispatched}: {decisions:?}");
    }
}

#[test]
fn nobody_is_called_in_while_instances_are_made_and_one_a_second_if_that_hangs() {
    let mut stage = Stage::crowded(2);
    stage.is_dispatched = false;
    for actor in &mut stage.actors[..2] {
        actor.is_preparing = true;
    }
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 2_500, |_, _| {});
    let grown: Vec<_> = decisions
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Grow(_)))
        .collect();
    assert_eq!(grown.len(), 2, "{grown:?}");
    assert_eq!(grown[0].1, Decision::Grow(1));
}

#[test]
fn who_is_gone_is_replaced_and_not_more_often_than_ten_times_a_second() {
    let mut stage = Stage::inline();
    stage.actors[0] = Actor::default();
    stage.pool = Pool {
        workers: 1,
        is_short: true,
        ..Pool::default()
    };
    let mut watch = watch(&stage, 2);
    let decisions = decided(&mut watch, &mut stage, 1_000, |_, _| {});
    let grown = decisions
        .iter()
        .filter(|(_, decision)| *decision == Decision::Grow(1));
    assert_eq!(grown.count(), 10, "one in a hundred looks");
}

#[test]
fn a_second_without_anyone_for_what_waits_is_told_once_and_its_end_too() {
    let mut stage = Stage::crowded(4);
    (stage.pool.is_full, stage.has_pending) = (true, true);
    let mut watch = watch(&stage, 2);
    let told = decided(&mut watch, &mut stage, 3_000, |_, _| {});
    let starved: Vec<_> = told
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Starved { .. }))
        .collect();
    assert_eq!(starved.len(), 1, "{starved:?}");
    assert!((1_001..1_010).contains(&starved[0].0), "{starved:?}");
    assert!(watch.is_starving(), "its end is to be told");
    stage.pool.lacks = false;
    let over = decided(&mut watch, &mut stage, 10, |_, _| {});
    let relieved = over
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Relieved { .. }));
    assert_eq!(relieved.count(), 1, "{over:?}");
    assert!(!watch.is_starving(), "told");
    stage.pool.lacks = true;
    let again = decided(&mut watch, &mut stage, 3_000, |stage, look| {
        stage.waiting_since = Some(look);
        stage.open_since = Some(look);
    });
    let is_told = |(_, decision): &(_, Decision)| matches!(decision, Decision::Starved { .. });
    assert!(!again.iter().any(is_told), "as long as somebody comes");
}

#[test]
fn what_waits_behind_an_instance_being_made_goes_to_one_that_is_made() {
    for has_free_instance in [false, true] {
        let mut stage = Stage::inline();
        stage.actors[0].is_preparing = true;
        stage.has_free_instance = has_free_instance;
        let mut watch = watch(&stage, 2);
        let decisions = decided(&mut watch, &mut stage, 100, |_, _| {});
        let first = decisions
            .iter()
            .find(|(_, decision)| *decision == Decision::Rescue(0));
        let expected = has_free_instance.then_some((2, Decision::Rescue(0)));
        assert_eq!(first, expected.as_ref());
    }
}
