//! A deleted run is gone with all that it recorded and nothing else is; what lives cannot be deleted.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use durable::{Engine, Error, RunError, RunStatus, step, workflow};
use support::{HeldClock, Log, Switches, builder, keys};

#[step]
fn work(name: &str) -> Result<u32, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(1) }
}

#[workflow]
fn leaf(name: String) -> Result<u32, String> {
    let first = work(&name)?;
    durable::sleep(Duration::from_hours(24));
    Ok(first + work(&name)?)
}

#[workflow]
fn branch(name: String) -> Result<u32, String> {
    let mut sum = 0;
    for side in ["left", "right"] {
        sum += leaf::run_durable(format!("{name}/{side}"), side.into()).map_err(|error| error.to_string())?;
    }
    Ok(sum)
}

#[workflow]
fn root() -> Result<u32, String> {
    branch::run_durable("root/branch", "root/branch".into()).map_err(|error| error.to_string())
}

/// Engines on both stores; time goes on only when the test says so.
fn each_store(check: impl Fn(&Engine, &Log, &HeldClock)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let (log, clock) = (Log::default(), HeldClock::default());
        let builder = builder(&log, &Switches::default()).clock(clock.clone());
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() };
        check(&engine.unwrap(), &log, &clock);
    }
}

fn ids(engine: &Engine) -> Vec<String> {
    engine.runs().map(|run| run.unwrap().id.to_string()).collect()
}

/// Blocks until the run is unloaded: nobody owns it, and it waits.
fn unloaded(engine: &Engine, id: &str) {
    while engine.run(id).unwrap().is_none_or(|run| run.owner.is_some() || run.wake_at.is_none()) {
        std::thread::yield_now();
    }
}

/// A run that sleeps for a day, unloaded from memory.
fn asleep(engine: &Engine, id: &str) {
    leaf::durable(id, id.into()).on(engine).start().unwrap();
    unloaded(engine, id);
}

#[test]
fn a_deleted_run_is_gone_with_its_steps_and_no_other_is() {
    each_store(|engine, log, clock| {
        asleep(engine, "a");
        asleep(engine, "b");
        let epoch = engine.run("a").unwrap().unwrap().epoch;
        assert!(engine.delete("a").unwrap());
        assert!(!engine.delete("a").unwrap(), "again changes nothing");
        assert!(engine.run("a").unwrap().is_none() && engine.steps("a").unwrap().is_empty());
        assert!(matches!(engine.history("a").map(drop), Err(Error::UnknownRun { .. })));
        assert_eq!(
            (ids(engine), keys(engine, "b")),
            (vec!["b".to_owned()], vec!["work_0".to_owned(), "sleep_1".to_owned()])
        );
        let handle = engine.handle::<leaf>("b").unwrap().unwrap();
        clock.advance(Duration::from_hours(24));
        assert_eq!(handle.wait().unwrap(), 2);
        assert_eq!(log.lines(), ["a", "b", "b"], "what was deleted does not wake up");
        asleep(engine, "a");
        assert!(engine.run("a").unwrap().unwrap().epoch > epoch, "no ownership comes again");
    });
}

#[test]
fn runs_can_be_deleted_in_every_state_but_live() {
    each_store(|engine, _, _| {
        asleep(engine, "waiting");
        for id in ["paused", "cancelled"] {
            asleep(engine, id);
        }
        engine.pause("paused").unwrap();
        engine.cancel("cancelled").unwrap();
        for (id, status) in [
            ("waiting", RunStatus::Running),
            ("paused", RunStatus::Paused),
            ("cancelled", RunStatus::Cancelled),
        ] {
            assert_eq!(engine.run(id).unwrap().unwrap().status, status);
            assert!(engine.delete(id).unwrap());
        }
        assert!(ids(engine).is_empty());
        assert!(matches!(engine.delete(""), Err(Error::InvalidId(_))));
    });
}

#[test]
fn whoever_waits_for_a_deleted_run_is_told() {
    each_store(|engine, _, _| {
        asleep(engine, "a");
        let handle = engine.handle::<leaf>("a").unwrap().unwrap();
        engine.delete("a").unwrap();
        assert!(matches!(handle.wait(), Err(RunError::Engine(Error::UnknownRun { .. }))));
        assert!(matches!(handle.status(), Err(Error::UnknownRun { .. })));
    });
}

/// Runs a root with two generations of children, whose sleeps are over at once.
fn family(log: &Log) -> (tempfile::TempDir, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let clock = durable::TestClock::default();
    let engine = builder(log, &Switches::default()).clock(clock).open(folder.path().join("runs.db")).unwrap();
    assert_eq!(root::durable("root").on(&engine).run().unwrap(), 4);
    leaf::durable("other", "other".into()).on(&engine).run().unwrap();
    (folder, engine)
}

const FAMILY: [&str; 4] = ["root", "root/branch", "root/branch/left", "root/branch/right"];

#[test]
fn children_stay_unless_they_are_asked_for() {
    let log = Log::default();
    let (_folder, engine) = family(&log);
    assert!(engine.delete("root").unwrap());
    assert_eq!(ids(&engine), ["other", "root/branch", "root/branch/left", "root/branch/right"]);
    let child = engine.run("root/branch").unwrap().unwrap();
    assert_eq!((child.parent.unwrap().as_str(), child.output.as_deref()), ("root", Some("4")));
    log.take();
    assert_eq!(root::durable("root").on(&engine).run().unwrap(), 4, "it meets the children of the first one");
    assert!(log.lines().is_empty());
}

#[test]
fn a_family_can_be_deleted_at_once() {
    let (_folder, engine) = family(&Log::default());
    assert_eq!(engine.delete_with_children("root").unwrap(), 4);
    assert_eq!(ids(&engine), ["other"]);
    assert!(FAMILY.iter().all(|id| engine.steps(id).unwrap().is_empty()));
    assert_eq!(engine.delete_with_children("root").unwrap(), 0);
}

#[test]
fn a_family_goes_from_below_so_that_what_is_left_is_found_again() {
    let (folder, engine) = family(&Log::default());
    let rows = rusqlite::Connection::open(folder.path().join("runs.db")).unwrap();
    rows.execute_batch(
        "create trigger t before delete on workflows when old.id = 'root/branch'
         begin select raise(abort, 'a test wants it so'); end",
    )
    .unwrap();
    assert!(matches!(engine.delete_with_children("root"), Err(Error::Store { .. })));
    assert_eq!(ids(&engine), ["other", "root", "root/branch"]);
    rows.execute_batch("drop trigger t").unwrap();
    assert_eq!(engine.delete_with_children("root").unwrap(), 2);
}

#[test]
fn children_whose_rows_are_damaged_are_deleted_too() {
    let (folder, engine) = family(&Log::default());
    let rows = rusqlite::Connection::open(folder.path().join("runs.db")).unwrap();
    rows.execute("update workflows set output = '7' where id in ('root', 'root/branch')", []).unwrap();
    assert!(engine.run("root/branch").is_err());
    assert_eq!(engine.delete_with_children("root").unwrap(), 4);
    assert_eq!(ids(&engine), ["other"]);
}

#[test]
fn a_run_that_became_a_child_of_its_own_child_is_deleted_once() {
    let (folder, engine) = family(&Log::default());
    let rows = rusqlite::Connection::open(folder.path().join("runs.db")).unwrap();
    rows.execute("update workflows set parent = 'root/branch/left', checksum = null where id = 'root'", [])
        .unwrap();
    assert_eq!(engine.delete_with_children("root").unwrap(), 4);
}

/// Where a step meets its test: it says that it runs, and waits to be told to go on.
struct Gate(Mutex<Sender<()>>, Mutex<Receiver<()>>);

#[step]
fn gated() {
    let gate = durable::resource::<Arc<Gate>>();
    gate.0.lock().unwrap().send(()).unwrap();
    gate.1.lock().unwrap().recv().unwrap();
}

#[workflow]
fn gated_child() {
    gated();
}

#[workflow]
fn gated_parent() {
    leaf::start("sleeps", "sleeps".into()).unwrap();
    gated_child::start("gated").unwrap();
}

#[test]
fn what_lives_is_not_deleted_and_neither_is_its_family() {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let ((say, reached), (open, opened)) = (channel(), channel());
        let gate = Arc::new(Gate(Mutex::new(say), Mutex::new(opened)));
        let builder = builder(&Log::default(), &Switches::default()).clock(HeldClock::default()).with(gate);
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() }.unwrap();
        gated_parent::durable("p").on(&engine).run().unwrap();
        reached.recv().unwrap();
        unloaded(&engine, "sleeps");
        assert!(
            matches!(engine.delete("gated"), Err(Error::Live { workflow }) if workflow.as_str() == "gated")
        );
        let refused = engine.delete_with_children("p");
        assert!(matches!(refused, Err(Error::Live { workflow }) if workflow.as_str() == "gated"));
        assert_eq!(ids(&engine), ["gated", "p", "sleeps"], "nothing is deleted");
        assert!(engine.delete("p").unwrap(), "its parent alone has ended");
        open.send(()).unwrap();
        engine.handle::<gated_child>("gated").unwrap().unwrap().wait().unwrap();
        assert!(engine.delete("gated").unwrap());
    }
}

#[workflow]
async fn polled() -> u32 {
    Log::note("it ends");
    1
}

/// Bug: a run that had ended could not be deleted, since it was being executed. Cause: it counted as executed until
/// its future was polled once more, or its thread came to let go. Fix: what its row says counts.
#[test]
fn a_run_that_has_ended_can_be_deleted_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let engine = builder(&log, &Switches::default()).open(folder.path().join("runs.db")).unwrap();
    let mut run = pin!(polled::durable("a").on(&engine).run());
    while log.lines().is_empty() {
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        std::thread::yield_now();
    }
    // Nobody polls it from now on: its end is written by the engine's own thread.
    while engine.run("a").unwrap().unwrap().status != RunStatus::Completed {
        std::thread::yield_now();
    }
    assert!(engine.delete("a").unwrap());
    assert_eq!(support::block_on(run).unwrap(), 1);
    assert!(engine.run("a").unwrap().is_none());
}
