//! A run that has not ended by its deadline is cancelled, whoever executes it.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use durable::{Engine, Error, RunError, RunStatus, step, workflow};
use support::{HeldClock, Log};

const HOUR: Duration = Duration::from_hours(1);

#[workflow]
fn sleeps(time: Duration) {
    durable::sleep(time);
}

#[workflow]
fn has_children() {
    sleeps::start("child", 10 * HOUR).unwrap();
    durable::sleep(10 * HOUR);
}

fn engine(clock: &HeldClock) -> Engine {
    Engine::builder().with(Log::default()).clock(clock.clone()).in_memory().unwrap()
}

fn is_cancelled<E>(ended: &Result<(), RunError<E>>) -> bool {
    matches!(ended, Err(RunError::Engine(Error::Cancelled { .. })))
}

fn until(engine: &Engine, id: &str, is: impl Fn(&durable::store::RunRecord) -> bool) {
    while !engine.run(id).unwrap().is_some_and(|run| is(&run)) {
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_waits_is_cancelled_at_its_deadline_and_its_children_with_it() {
    let clock = HeldClock::default();
    let engine = engine(&clock);
    let handle = has_children::durable("a").on(&engine).deadline(2 * HOUR).start().unwrap();
    until(&engine, "a", |run| run.wake_at.is_some());
    until(&engine, "child", |run| run.wake_at.is_some());
    clock.advance(HOUR);
    assert_eq!(handle.status().unwrap(), RunStatus::Running);
    clock.advance(HOUR);
    assert!(is_cancelled(&handle.wait()));
    assert!(is_cancelled(&engine.handle::<sleeps>("child").unwrap().unwrap().wait()));
}

#[test]
fn a_run_that_ends_in_time_is_not_touched() {
    let clock = HeldClock::default();
    let engine = engine(&clock);
    sleeps::durable("a", Duration::ZERO).on(&engine).deadline(HOUR).run().unwrap();
    clock.advance(2 * HOUR);
    sleeps::durable("b", Duration::ZERO).on(&engine).run().unwrap();
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Completed);
}

#[test]
fn a_deadline_counts_from_when_a_delayed_run_begins() {
    let clock = HeldClock::default();
    let engine = engine(&clock);
    let handle = sleeps::durable("a", 3 * HOUR).on(&engine).deadline(2 * HOUR).start_after(HOUR).unwrap();
    clock.advance(2 * HOUR);
    assert_eq!(handle.status().unwrap(), RunStatus::Running);
    clock.advance(HOUR);
    assert!(is_cancelled(&handle.wait()));
}

#[test]
fn a_run_that_is_opened_again_has_no_deadline_any_more() {
    let clock = HeldClock::default();
    let engine = engine(&clock);
    let handle = sleeps::durable("a", 4 * HOUR).on(&engine).deadline(2 * HOUR).start().unwrap();
    until(&engine, "a", |run| run.wake_at.is_some());
    clock.advance(3 * HOUR);
    assert!(is_cancelled(&handle.wait()));
    engine.resume("a").unwrap();
    clock.advance(HOUR);
    handle.wait().unwrap();
}

/// Where a step tells the test that it has come, and waits to go on.
struct Gate(Mutex<(Sender<()>, Receiver<()>)>);

#[step]
fn passes_gate() {
    let gate = durable::resource::<Gate>();
    let gate = gate.0.lock().unwrap();
    gate.0.send(()).unwrap();
    gate.1.recv().unwrap();
}

#[workflow]
fn works() {
    passes_gate();
    Log::note("later");
    passes_gate();
}

#[test]
fn a_run_that_somebody_called_for_ends_at_its_next_operation() {
    let clock = HeldClock::default();
    let ((come, comes), (go, goes), log) = (channel(), channel(), Log::default());
    let engine =
        Engine::builder().with(Gate(Mutex::new((come, goes)))).with(log.clone()).clock(clock.clone());
    let engine = engine.in_memory().unwrap();
    std::thread::scope(|threads| {
        let called = threads.spawn(|| works::durable("a").on(&engine).deadline(HOUR).run());
        comes.recv().unwrap();
        clock.advance(HOUR);
        until(&engine, "a", |run| run.wanted.is_some());
        go.send(()).unwrap();
        assert!(is_cancelled(&called.join().unwrap()));
    });
    assert!(log.lines().is_empty());
}
