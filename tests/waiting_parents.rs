//! A run that waits for another one costs no memory for long, and two that wait for each other are told so.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::time::Duration;

use durable::store::RunRecord;
use durable::{Engine, Error, Handle, RunError, RunStatus, step, workflow};
use support::{HeldClock, Log, block_on, keys};

const HOUR: Duration = Duration::from_hours(1);
const LOADED: Duration = Duration::from_secs(1);

#[step]
fn note(text: &str) {
    Log::note(text);
}

#[workflow]
fn sleeps() -> u32 {
    durable::sleep(HOUR);
    7
}

#[workflow]
fn parent() -> u32 {
    let child = sleeps::start("child").unwrap();
    note("started");
    let got = child.wait().unwrap();
    note("got");
    got
}

#[workflow]
async fn parent_polled() -> u32 {
    sleeps::durable("child").start().unwrap().await.unwrap()
}

fn engine(clock: &HeldClock) -> (Engine, Log) {
    let log = Log::default();
    (Engine::builder().with(log.clone()).clock(clock.clone()).in_memory().unwrap(), log)
}

fn until(engine: &Engine, id: &str, is: impl Fn(&RunRecord) -> bool) {
    while !engine.run(id).unwrap().is_some_and(|run| is(&run)) {
        std::thread::yield_now();
    }
}

/// Waits until `id` waits for the run `other`, then until it is unloaded.
fn until_unloaded(engine: &Engine, clock: &HeldClock, id: &str, other: &str) {
    while engine.run(id).unwrap().is_none_or(|run| run.awaits.is_none()) {
        clock.advance(LOADED / 100);
        std::thread::yield_now();
    }
    let run = engine.run(id).unwrap().unwrap();
    assert_eq!((run.owner, run.awaits.unwrap().to_string()), (None, format!("run/{other}")));
}

#[test]
fn a_parent_that_waits_for_its_child_is_unloaded_and_woken_by_its_end() {
    let clock = HeldClock::default();
    let (engine, log) = engine(&clock);
    let handle = parent::durable("a").on(&engine).start().unwrap();
    until_unloaded(&engine, &clock, "a", "child");
    until(&engine, "child", |run| run.wake_at.is_some());
    clock.advance(HOUR);
    assert_eq!(handle.wait().unwrap(), 7);
    assert_eq!(keys(&engine, "a"), ["sleeps_0", "note_1", "sleeps_2", "note_3"]);
    assert_eq!(log.lines(), ["started", "got"]);
}

#[test]
fn futures_that_wait_for_a_child_are_unloaded_too() {
    let clock = HeldClock::default();
    let (engine, _) = engine(&clock);
    let handle = block_on(parent_polled::durable("a").on(&engine).start()).unwrap();
    until_unloaded(&engine, &clock, "a", "child");
    clock.advance(2 * HOUR);
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_cancelled_child_wakes_its_parent() {
    let clock = HeldClock::default();
    let (engine, _) = engine(&clock);
    let handle = parent::durable("a").on(&engine).start().unwrap();
    until_unloaded(&engine, &clock, "a", "child");
    engine.cancel("child").unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
}

/// Waits for another run of its kind.
#[workflow]
fn waits_for(other: String) -> u32 {
    let engine = durable::resource::<Mine>();
    let engine = engine.0.get().unwrap();
    let other: Handle<waits_for> = engine.handle(&other).unwrap().unwrap();
    other.wait().unwrap()
}

/// The engine itself, for a workflow that looks for runs.
struct Mine(std::sync::OnceLock<Engine>);

#[test]
fn runs_that_wait_for_each_other_while_they_are_unloaded_are_told_of_the_circle() {
    let clock = HeldClock::default();
    let mine = Mine(std::sync::OnceLock::new());
    let engine = Engine::builder().with(mine).clock(clock.clone()).in_memory().unwrap();
    {
        let _entered = engine.enter();
        _ = durable::resource::<Mine>().0.set(engine.clone());
    }
    let second = waits_for::durable("b", "a".into()).on(&engine).start_after(HOUR).unwrap();
    waits_for::durable("a", "b".into()).on(&engine).start().unwrap();
    until_unloaded(&engine, &clock, "a", "b");
    clock.advance(HOUR);
    until(&engine, "b", |run| run.status == RunStatus::Halted);
    let Err(RunError::Engine(halted)) = second.wait() else { panic!("it is in a circle") };
    assert!(halted.to_string().contains("\"b\" would wait for itself: \"b\" -> \"a\" -> \"b\""), "{halted}");
}
