//! Runs that outlive their process: another one that looks after them goes on with them, and nobody calls. Each
//! test is also the program of its child processes, which it starts with a role.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/actors.rs"]
mod actors;

use std::thread;
use std::time::Duration;

use actors::{Actor, Place, hear, role, say};
use durable::{Engine, Error, RunError, RunStatus, step, workflow};

/// Makes the second step say that it runs, and wait to be told to go on.
struct Holds;

#[step]
fn effect(name: &str) -> u32 {
    durable::resource::<Place>().note(name);
    1
}

#[step]
fn held_effect(name: &str) -> u32 {
    durable::resource::<Place>().note(name);
    if durable::try_resource::<Holds>().is_ok() {
        say("in the step");
        hear();
    }
    2
}

#[workflow]
fn order(id: String) -> u32 {
    effect(&format!("first of {id}")) + held_effect(&format!("second of {id}"))
}

#[workflow]
fn sleeper(id: String) -> u32 {
    let first = effect(&format!("before {id} sleeps"));
    durable::sleep(Duration::from_millis(1_500));
    first + effect(&format!("after {id} has slept"))
}

fn engine(place: &Place, holds: bool) -> Engine {
    let builder = Engine::builder().with(place.clone());
    let builder = if holds { builder.with(Holds) } else { builder };
    builder.open(place.database()).unwrap()
}

/// Starts a run of `order` that halts inside its second step, says so, and waits for its end.
fn hold(place: &Place) {
    let engine = engine(place, true);
    let handle = order::durable("a", "a".to_owned()).on(&engine).start().unwrap();
    match handle.wait() {
        Ok(value) => say(&format!("got {value}")),
        Err(RunError::Engine(error)) => say(&format!("stopped: {error}")),
    }
}

#[test]
fn a_run_whose_process_is_killed_is_gone_on_with_by_one_that_recovers() {
    if let Some((_, place)) = role() {
        return hold(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut holder =
        Actor::start("a_run_whose_process_is_killed_is_gone_on_with_by_one_that_recovers", "hold", &place.0);
    holder.wait_for("in the step");
    let other = engine(&place, false);
    other.recover().unwrap();
    let handle = other.handle::<order>("a").unwrap().unwrap();
    thread::scope(|scope| {
        let result = scope.spawn(|| handle.wait().unwrap());
        holder.stop();
        assert_eq!(place.effects().len(), 2, "its owner is stopped, not dead");
        holder.kill();
        assert_eq!(result.join().unwrap(), 3);
    });
    assert_eq!(place.effects(), ["first of a", "second of a", "second of a"]);
    assert_eq!(other.run("a").unwrap().unwrap().recoveries, 1);
}

/// Two branches that are both in a step when another process comes.
#[workflow]
fn on_threads() -> (u32, u32) {
    durable::join(|| held_effect("left of a"), || held_effect("right of a"))
}

#[step]
async fn held_effect_polled(name: &str) -> u32 {
    durable::resource::<Place>().note(name);
    if durable::try_resource::<Holds>().is_ok() {
        say("in the step");
        // On a thread beside the executor, so that the other branch has its turn.
        smol::unblock(hear).await;
    }
    2
}

#[workflow]
async fn as_futures() -> (u32, u32) {
    durable::join!(held_effect_polled("left of a"), held_effect_polled("right of a"))
}

/// Starts run "a" of one of them, and waits for its end.
fn start(engine: &Engine, kind: &str) -> Result<(u32, u32), RunError<std::convert::Infallible>> {
    match kind {
        "threads" => on_threads::durable("a").on(engine).start().unwrap().wait(),
        _ => actors::block_on(as_futures::durable("a").on(engine).start()).unwrap().wait(),
    }
}

/// A second process starts and recovers while both steps of the first are under way, and asks for the run as well. The first
/// goes on to the end, or is killed there.
fn check_second_process(test: &str, kind: &str, is_killed: bool) {
    if let Some((_, place)) = role() {
        let ended = start(&engine(&place, true), kind);
        return say(&format!("got {:?}", ended.unwrap()));
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut first = Actor::start(test, "hold", &place.0);
    first.wait_for("in the step");
    first.wait_for("in the step");
    let second = engine(&place, false);
    second.recover().unwrap();
    thread::scope(|scope| {
        let asked = scope.spawn(|| start(&second, kind).unwrap());
        // It has looked at the runs by then: one of its own has come to its end.
        assert_eq!(order::durable("b", "b".to_owned()).on(&second).start().unwrap().wait().unwrap(), 3);
        assert_eq!(of_a(&place), ["left of a", "right of a"], "the first process is in both");
        if is_killed {
            first.kill();
        } else {
            first.tell();
            first.tell();
            first.wait_for("got (2, 2)");
        }
        assert_eq!(asked.join().unwrap(), (2, 2));
    });
    let times = if is_killed { 2 } else { 1 };
    let mut once_or_again: Vec<_> = ["left of a", "right of a"].repeat(times);
    once_or_again.sort_unstable();
    assert_eq!(of_a(&place), once_or_again);
    assert_eq!(second.run("a").unwrap().unwrap().recoveries, u32::from(is_killed));
}

/// The effects of run "a", sorted.
fn of_a(place: &Place) -> Vec<String> {
    let mut of_a: Vec<_> = place.effects().into_iter().filter(|effect| effect.ends_with("of a")).collect();
    of_a.sort_unstable();
    of_a
}

/// DBOS runs the step twice here: a second process starts, and recovers, while a step of a run is under way.
#[test]
fn a_second_process_that_starts_while_a_step_runs_does_not_run_it_again() {
    check_second_process(
        "a_second_process_that_starts_while_a_step_runs_does_not_run_it_again",
        "threads",
        false,
    );
}

#[test]
fn a_second_process_that_starts_while_a_polled_step_runs_does_not_run_it_again() {
    check_second_process(
        "a_second_process_that_starts_while_a_polled_step_runs_does_not_run_it_again",
        "futures",
        false,
    );
}

#[test]
fn a_second_process_runs_a_step_again_once_when_the_first_is_killed_in_it() {
    check_second_process(
        "a_second_process_runs_a_step_again_once_when_the_first_is_killed_in_it",
        "threads",
        true,
    );
}

#[test]
fn a_second_process_runs_a_polled_step_again_once_when_the_first_is_killed_in_it() {
    check_second_process(
        "a_second_process_runs_a_polled_step_again_once_when_the_first_is_killed_in_it",
        "futures",
        true,
    );
}

#[test]
fn a_run_that_sleeps_when_its_process_ends_is_woken_by_another() {
    if let Some((_, place)) = role() {
        let engine = engine(&place, false);
        sleeper::durable("a", "a".to_owned()).on(&engine).start().unwrap();
        while engine.run("a").unwrap().unwrap().wake_at.is_none() {
            thread::yield_now();
        }
        return say("it sleeps");
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut starter =
        Actor::start("a_run_that_sleeps_when_its_process_ends_is_woken_by_another", "start", &place.0);
    starter.wait_for("it sleeps");
    starter.kill();
    let other = engine(&place, false);
    other.recover().unwrap();
    assert_eq!(other.handle::<sleeper>("a").unwrap().unwrap().wait().unwrap(), 2);
    assert_eq!(place.effects(), ["before a sleeps", "after a has slept"]);
}

#[test]
fn a_run_is_cancelled_from_another_process() {
    if let Some((_, place)) = role() {
        return hold(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut holder = Actor::start("a_run_is_cancelled_from_another_process", "hold", &place.0);
    holder.wait_for("in the step");
    let other = engine(&place, false);
    other.cancel("a").unwrap();
    assert_eq!(other.run("a").unwrap().unwrap().status, RunStatus::Running, "it is asked");
    holder.tell();
    holder.wait_for("stopped: workflow \"a\" was cancelled; `resume` opens it again");
    let handle = other.handle::<order>("a").unwrap().unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!(other.steps("a").unwrap().len(), 1, "what the step returned is not recorded");
}

#[test]
fn what_was_asked_of_a_process_that_died_is_done_by_whoever_comes_next() {
    if let Some((_, place)) = role() {
        return hold(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let mut holder =
        Actor::start("what_was_asked_of_a_process_that_died_is_done_by_whoever_comes_next", "hold", &place.0);
    holder.wait_for("in the step");
    let other = engine(&place, false);
    other.recover().unwrap();
    other.cancel("a").unwrap();
    holder.kill();
    let handle = other.handle::<order>("a").unwrap().unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!(place.effects(), ["first of a", "second of a"]);
}
