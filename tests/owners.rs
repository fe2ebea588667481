//! Who may execute a run when several processes have its database open: whoever lives and owns it, stopped or
//! not, and nobody else. Each test is also the program of its child processes, which it starts with a role.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

#[path = "support/actors.rs"]
mod actors;
mod support;

use std::process::Command;
use std::thread;

use actors::{Actor, Place, hear, role, say};
use durable::store::RunStatus;
use durable::{Engine, Error, TestClock, step, workflow};
use support::HeldClock;

/// Blocks until somebody has waited `more` times from now on. The clock waits no time.
fn see(clock: &TestClock, more: usize) {
    let until = clock.waits().len() + more;
    while clock.waits().len() < until {
        thread::yield_now();
    }
}

/// Makes the second step say that it runs, and wait.
struct Holds;

/// Makes the second step start a command, say that it runs, and wait for its end.
struct StartsCommand;

/// Has the wall clock set in the second step, each time that it is told to, by so many hours.
const SET_HOURS: [i64; 6] = [1, -2, 24, -48, 24 * 365, -24 * 730];

#[step]
fn first(id: &str) {
    durable::resource::<Place>().note(&format!("first of {id}"));
}

#[step]
fn second(id: &str) -> u32 {
    durable::resource::<Place>().note(&format!("second of {id}"));
    if durable::try_resource::<Holds>().is_ok() {
        say("in the step");
        hear();
    }
    if durable::try_resource::<StartsCommand>().is_ok() {
        let mut command = Command::new("cat").spawn().unwrap();
        say("in the step");
        command.wait().unwrap();
    }
    if let Ok(clock) = durable::try_resource::<HeldClock>() {
        say("in the step");
        for hours in SET_HOURS {
            hear();
            clock.set_wall(hours * 3_600_000);
            say("the clock is set");
        }
        thread::park();
    }
    7
}

#[workflow]
fn two_steps(id: String) -> u32 {
    first(&id);
    second(&id)
}

fn engine(place: &Place, clock: &TestClock) -> Engine {
    Engine::builder().with(place.clone()).clock(clock.clone()).open(place.database()).unwrap()
}

fn run(engine: &Engine, id: &str) -> u32 {
    two_steps::durable(id, id.to_owned()).on(engine).run().unwrap()
}

/// Runs "a", and dies or is stopped inside its second step.
fn hold(place: &Place) {
    let engine = Engine::builder().with(place.clone()).with(Holds).open(place.database()).unwrap();
    run(&engine, "a");
}

/// Runs "a" too, while another process has it.
fn wait_for_a(place: &Place) {
    let clock = TestClock::default();
    let engine = engine(place, &clock);
    thread::scope(|scope| {
        let result = scope.spawn(|| run(&engine, "a"));
        see(&clock, 10);
        say("waiting");
        assert_eq!(result.join().unwrap(), 7);
        say("done");
    });
}

#[track_caller]
fn check_live(engine: &Engine) {
    assert!(matches!(engine.reset("a"), Err(Error::Live { .. })));
    assert!(matches!(engine.rewind("a", "first_0"), Err(Error::Live { .. })));
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Running);
}

#[test]
fn a_run_is_left_to_its_owner_while_that_lives_and_taken_up_once_when_it_is_dead() {
    const TEST: &str = "a_run_is_left_to_its_owner_while_that_lives_and_taken_up_once_when_it_is_dead";
    match role() {
        Some((role, place)) if role == "hold" => return hold(&place),
        Some((_, place)) => return wait_for_a(&place),
        None => {}
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut holder = Actor::start(TEST, "hold", folder.path());
    holder.wait_for("in the step");
    let mut other = Actor::start(TEST, "wait", folder.path());
    other.wait_for("waiting");
    let clock = TestClock::default();
    let engine = engine(&place, &clock);
    thread::scope(|scope| {
        let result = scope.spawn(|| run(&engine, "a"));
        see(&clock, 10);
        check_live(&engine);
        holder.stop();
        see(&clock, 10);
        check_live(&engine);
        assert_eq!(place.effects(), ["first of a", "second of a"], "nobody ran a step beside the owner");
        holder.kill();
        assert_eq!(result.join().unwrap(), 7);
    });
    other.wait_for("done");
    // The second step was not recorded when its process died, so it ran again: once, in one of the two that
    // waited.
    assert_eq!(place.effects(), ["first of a", "second of a", "second of a"]);
    let ended = engine.run("a").unwrap().unwrap();
    assert_eq!((ended.status, ended.owner, ended.recoveries), (RunStatus::Completed, None, 1));
    assert!(engine.reset("a").unwrap());
}

#[test]
fn an_owner_that_goes_on_after_it_was_stopped_still_owns_its_run() {
    if let Some((_, place)) = role() {
        hold(&place);
        return say("done");
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let test = "an_owner_that_goes_on_after_it_was_stopped_still_owns_its_run";
    let mut holder = Actor::start(test, "hold", folder.path());
    holder.wait_for("in the step");
    holder.stop();
    check_live(&engine(&place, &TestClock::default()));
    holder.signal("-CONT");
    holder.tell();
    holder.wait_for("done");
    assert_eq!(run(&engine(&place, &TestClock::default()), "a"), 7);
    assert_eq!(place.effects(), ["first of a", "second of a"]);
}

/// Nobody has taken the run, though an engine that recovers has asked for it, and looked: a run of its own has come to its end.
#[track_caller]
fn check_kept(engine: &Engine, place: &Place, own: &str) {
    let start = |id: &str| two_steps::durable(id, id.to_owned()).on(engine).start().unwrap();
    drop(start("a"));
    start(own).wait().unwrap();
    check_live(engine);
    assert_eq!(of_a(place), ["first of a", "second of a"]);
}

fn of_a(place: &Place) -> Vec<String> {
    place.effects().into_iter().filter(|effect| effect.ends_with("of a")).collect()
}

/// An engine that recovers, whose clock stands still and is so many hours ahead of that of the owner, or behind.
fn rival(place: &Place, ahead_hours: i64) -> Engine {
    let clock = HeldClock::default();
    clock.set_wall(ahead_hours * 3_600_000);
    let builder = Engine::builder().with(place.clone()).clock(clock);
    builder.recover(true).open(place.database()).unwrap()
}

/// Whoever executes the run sets its clock to and fro; whoever looks after it has a clock that is decades away, and stands
/// still, so that no time passes between the death of the one and the other's taking the run up.
#[test]
fn no_clock_gives_a_run_away_while_its_owner_lives_or_keeps_it_when_that_is_dead() {
    const TEST: &str = "no_clock_gives_a_run_away_while_its_owner_lives_or_keeps_it_when_that_is_dead";
    if let Some((_, place)) = role() {
        let clock = HeldClock::default();
        let builder = Engine::builder().with(place.clone()).with(clock.clone()).clock(clock);
        run(&builder.open(place.database()).unwrap(), "a");
        return;
    }
    for ahead_hours in [0, 1, -1, 24 * 365 * 30, -24 * 365 * 30] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place(folder.path().to_owned());
        let mut holder = Actor::start(TEST, "hold", folder.path());
        holder.wait_for("in the step");
        let rival = rival(&place, ahead_hours);
        check_kept(&rival, &place, "own");
        for (n, _) in SET_HOURS.iter().enumerate() {
            holder.tell();
            holder.wait_for("the clock is set");
            check_kept(&rival, &place, &format!("own{n}"));
        }
        holder.stop();
        check_kept(&rival, &place, "last");
        holder.kill();
        let handle = rival.handle::<two_steps>("a").unwrap().unwrap();
        assert_eq!(handle.wait().unwrap(), 7, "{ahead_hours} hours ahead");
        assert_eq!(of_a(&place), ["first of a", "second of a", "second of a"]);
    }
}

/// What a step started lives on when its process is killed, and has none of its files: the command hears what the process was
/// told, and says it.
#[test]
fn a_command_that_outlives_the_process_which_started_it_keeps_no_run() {
    const TEST: &str = "a_command_that_outlives_the_process_which_started_it_keeps_no_run";
    if let Some((_, place)) = role() {
        let builder = Engine::builder().with(place.clone()).with(StartsCommand);
        run(&builder.open(place.database()).unwrap(), "a");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut holder = Actor::start(TEST, "hold", folder.path());
    holder.wait_for("in the step");
    let rival = rival(&place, 0);
    check_kept(&rival, &place, "own");
    holder.kill();
    assert_eq!(rival.handle::<two_steps>("a").unwrap().unwrap().wait().unwrap(), 7);
    assert_eq!(of_a(&place), ["first of a", "second of a", "second of a"]);
    holder.tell_line("the command lives");
    holder.wait_for("the command lives");
}

/// The database is not there yet, so the processes race over its creation too.
#[test]
fn processes_that_race_over_the_same_ids_execute_each_step_once() {
    const PROCESSES: usize = 4;
    let ids = || (0..20).map(|n| format!("order {n}"));
    if let Some((_, place)) = role() {
        say("ready");
        hear();
        let engine = Engine::builder().with(place.clone()).open(place.database()).unwrap();
        for id in ids() {
            assert_eq!(run(&engine, &id), 7);
        }
        return say("done");
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let test = "processes_that_race_over_the_same_ids_execute_each_step_once";
    let mut racers: Vec<_> = (0..PROCESSES).map(|_| Actor::start(test, "race", folder.path())).collect();
    for racer in &mut racers {
        racer.wait_for("ready");
    }
    for racer in &mut racers {
        racer.tell();
    }
    for racer in &mut racers {
        racer.wait_for("done");
    }
    let mut effects = place.effects();
    effects.sort();
    let mut once: Vec<_> =
        ids().flat_map(|id| [format!("first of {id}"), format!("second of {id}")]).collect();
    once.sort();
    assert_eq!(effects, once);
    let engine = engine(&place, &TestClock::default());
    assert!(engine.runs().all(|run| run.unwrap().status == RunStatus::Completed));
}

/// Says that it runs, and goes on when it is told to: to run the other one.
#[workflow]
fn asks_for(own: String, other: String) -> u32 {
    say(&format!("{own} runs"));
    hear();
    asks_for::run_durable(&other, other.clone(), own).unwrap()
}

fn ask(place: &Place, own: &str, other: &str) {
    let engine = Engine::open(place.database()).unwrap();
    let error = asks_for::durable(own, own.to_owned(), other.to_owned()).on(&engine).run().unwrap_err();
    say(&format!("{own} ended: {error}"));
}

/// Bug: two processes whose runs wait for each other waited for ever. Cause: each knew its own waits alone. Fix:
/// they tell them to each other.
#[test]
fn runs_of_two_processes_that_wait_for_each_other_are_told_so() {
    const TEST: &str = "runs_of_two_processes_that_wait_for_each_other_are_told_so";
    match role() {
        Some((role, place)) if role == "a" => return ask(&place, "a", "b"),
        Some((_, place)) => return ask(&place, "b", "a"),
        None => {}
    }
    let folder = tempfile::tempdir().unwrap();
    let mut actors = ["a", "b"].map(|role| Actor::start(TEST, role, folder.path()));
    for (actor, id) in actors.iter_mut().zip(["a", "b"]) {
        actor.wait_for(&format!("{id} runs"));
    }
    for actor in &mut actors {
        // Once for its own run, and once for the other one, which it takes up if that was ended first.
        actor.tell();
        actor.tell();
    }
    let ends: Vec<_> = actors.iter_mut().map(Actor::last_words).collect();
    assert!(ends.iter().any(|end| end.contains("would wait for itself: \"")), "{ends:#?}");
}
