//! Runs that nobody calls for: started by hand and executed by the engine, which goes on with them whatever
//! becomes of those who wait.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/store.rs"]
mod asks;
mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use asks::Asks;
use durable::store::memory::MemoryStore;
use durable::store::sqlite::SqliteStore;
use durable::store::{Kind, StoreError};
use durable::{Engine, Error, Handle, RunError, RunStatus, TestClock, WorkflowId, step, workflow};
use support::{HeldClock, Log, Switches, builder, engine, keys};

#[step]
fn work(name: &str) -> Result<u32, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} refused")) } else { Ok(7) }
}

#[step]
async fn work_polled(name: &str) -> u32 {
    Log::note(name);
    8
}

#[workflow]
fn plain(name: String) -> Result<u32, String> {
    work(&name)
}

#[workflow]
async fn polled(name: String) -> u32 {
    work_polled(&name).await
}

fn start(engine: &Engine, id: &str) -> Handle<plain> {
    plain::durable(id, id.to_owned()).on(engine).start().unwrap()
}

#[test]
fn a_started_run_goes_on_by_itself_and_its_handle_gives_its_result() {
    let (engine, log, _) = engine();
    let handle = start(&engine, "a");
    assert_eq!(handle.wait().unwrap(), 7);
    assert_eq!(handle.status().unwrap(), RunStatus::Completed);
    let again = start(&engine, "a");
    assert_eq!((again.wait().unwrap(), handle.id().as_str()), (7, "a"));
    assert_eq!(log.lines(), ["a"]);
    assert!(engine.handle::<plain>("b").unwrap().is_none());
    assert_eq!(engine.handle::<plain>("a").unwrap().unwrap().wait().unwrap(), 7);
    assert!(matches!(engine.handle::<polled>("a"), Err(Error::OtherWorkflow { .. })));
}

#[test]
fn futures_are_polled_by_the_engine_and_their_handles_awaited_anywhere() {
    let (engine, log, _) = engine();
    let ids: Vec<_> = (0..50).map(|n| format!("run {n}")).collect();
    let sum: u32 = support::block_on(async {
        let mut handles = Vec::new();
        for id in &ids {
            handles.push(polled::durable(id, id.clone()).on(&engine).start().await.unwrap());
        }
        let mut sum = 0;
        for handle in &handles {
            sum += handle.await.unwrap();
        }
        sum
    });
    assert_eq!((sum, log.lines().len()), (400, 50));
}

#[test]
fn a_start_of_an_id_with_another_input_is_refused() {
    let (engine, _, _) = engine();
    start(&engine, "a").wait().unwrap();
    let refused = plain::durable("a", "b".to_owned()).on(&engine).start().unwrap_err();
    assert!(matches!(refused, Error::InputMismatch(_)));
}

// Bug: a start returned a handle of a run that was not there, and that was lost if nobody else came to start it.
// Cause: another call of the process had the id, and was taken to execute it; it only looked, by the id alone. Fix: a
// start waits until that call executes the run, or has gone.
#[test]
fn a_start_beside_a_look_for_the_same_id_stores_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let reads = Arc::new(Mutex::new(()));
    let may_read = Arc::clone(&reads);
    let before = move |call: &str| {
        if call == "run" {
            drop(may_read.lock().unwrap());
        }
        Ok::<_, StoreError>(())
    };
    let store = Asks(SqliteStore::open(&folder.path().join("runs.db")).unwrap(), Arc::new(before));
    let engine = Engine::builder().with(Log::default()).with(Switches::default()).store(store).unwrap();
    let _current = engine.enter();
    let no_read = reads.lock().unwrap();
    let mut resumed = pin!(polled::resume("a"));
    let mut started = pin!(polled::durable("a", "a".to_owned()).start());
    let mut once = Context::from_waker(Waker::noop());
    // In a poll nobody waits for the disk, so both are under way after one.
    assert!(resumed.as_mut().poll(&mut once).is_pending());
    assert!(started.as_mut().poll(&mut once).is_pending(), "it is not stored yet");
    drop(no_read);
    let unknown = support::block_on(resumed).unwrap_err();
    assert!(matches!(unknown, RunError::Engine(Error::UnknownRun { .. })), "{unknown}");
    let handle = support::block_on(started).unwrap();
    assert_eq!(handle.wait().unwrap(), 8);
}

#[test]
fn a_failed_run_stays_failed_until_it_is_retried() {
    let (engine, log, switches) = engine();
    switches.set("a");
    let handle = start(&engine, "a");
    assert_eq!(handle.wait().unwrap_err().failed().unwrap(), "a refused");
    assert_eq!(start(&engine, "a").wait().unwrap_err().failed().unwrap(), "a refused");
    assert_eq!(log.take(), ["a"]);
    switches.clear();
    handle.retry().unwrap();
    assert_eq!(handle.wait().unwrap(), 7);
    assert_eq!(log.lines(), ["a"]);
    handle.retry().map_err(|error| error.to_string()).unwrap_err();
}

#[workflow]
fn sleeper(name: String) -> Result<u32, String> {
    let first = work(&name)?;
    durable::sleep(Duration::from_hours(24));
    Ok(first + work("after")?)
}

#[workflow]
async fn sleeper_polled(name: String) -> u32 {
    let first = work_polled(&name).await;
    durable::future::sleep(Duration::from_hours(24)).await;
    first + work_polled("after").await
}

/// The child sleeps as a part of its parent.
#[workflow]
fn parent_of_sleeper(name: String) -> Result<u32, String> {
    sleeper(name)
}

#[workflow]
async fn sleeper_after_stream(name: String) -> u32 {
    let first = work_polled(&name);
    let mut stream = durable::unordered([first], 1);
    let first = stream.next().await.map_or(0, |(_, first)| first);
    drop(stream);
    durable::future::sleep(Duration::from_hours(24)).await;
    first
}

/// A clock whose time goes on only when the test says so.
fn held() -> (Engine, Log, HeldClock) {
    let (log, clock) = (Log::default(), HeldClock::default());
    let engine = builder(&log, &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    (engine, log, clock)
}

/// Blocks until the run is unloaded: nobody owns it, and it waits.
fn unloaded(engine: &Engine, id: &str) {
    while engine.run(id).unwrap().unwrap().owner.is_some() {
        std::thread::yield_now();
    }
    assert!(engine.run(id).unwrap().unwrap().wake_at.is_some());
}

#[test]
fn a_run_that_sleeps_is_unloaded_and_goes_on_when_it_is_due() {
    let (engine, log, clock) = held();
    let plain = sleeper::durable("plain", "plain".into()).on(&engine).start().unwrap();
    let polled = support::block_on(async {
        sleeper_polled::durable("polled", "polled".into()).on(&engine).start().await.unwrap()
    });
    unloaded(&engine, "plain");
    unloaded(&engine, "polled");
    clock.advance(Duration::from_hours(23));
    assert_eq!(plain.status().unwrap(), RunStatus::Running);
    clock.advance(Duration::from_hours(1));
    assert_eq!((plain.wait().unwrap(), support::block_on(async { polled.await.unwrap() })), (14, 16));
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["after", "after", "plain", "polled"]);
    assert_eq!(keys(&engine, "plain"), ["work_0", "sleep_1", "work_2"]);
}

#[test]
fn a_run_whose_inline_child_sleeps_is_unloaded_too_and_one_whose_stream_is_over() {
    let (engine, _, clock) = held();
    let parent = parent_of_sleeper::durable("parent", "plain".into()).on(&engine).start().unwrap();
    let after_stream = support::block_on(async {
        sleeper_after_stream::durable("streamed", "polled".into()).on(&engine).start().await.unwrap()
    });
    unloaded(&engine, "parent");
    unloaded(&engine, "streamed");
    clock.advance(Duration::from_hours(24));
    assert_eq!((parent.wait().unwrap(), support::block_on(async { after_stream.await.unwrap() })), (14, 8));
}

#[test]
fn a_delayed_run_begins_when_it_is_due() {
    let (engine, log, clock) = held();
    let handle = plain::durable("a", "a".into()).on(&engine).start_after(Duration::from_mins(1)).unwrap();
    unloaded(&engine, "a");
    assert_eq!(log.lines(), [""; 0]);
    clock.advance(Duration::from_mins(1));
    assert_eq!(handle.wait().unwrap(), 7);
}

#[test]
fn a_run_that_is_called_for_is_not_unloaded() {
    let (log, clock) = (Log::default(), TestClock::default());
    let engine = builder(&log, &Switches::default()).clock(clock).in_memory().unwrap();
    assert_eq!(sleeper::durable("a", "a".into()).on(&engine).run().unwrap(), 14);
    assert_eq!(log.lines(), ["a", "after"]);
}

/// Where a step meets its test: it says that it runs, and waits to be told to go on.
struct Gate {
    reached: Mutex<Sender<()>>,
    open: Mutex<Receiver<()>>,
}

fn gate() -> (Arc<Gate>, Receiver<()>, Sender<()>) {
    let ((say_reached, reached), (open, opened)) = (channel(), channel());
    (Arc::new(Gate { reached: Mutex::new(say_reached), open: Mutex::new(opened) }), reached, open)
}

#[step]
fn gated() -> bool {
    let gate = durable::resource::<Arc<Gate>>();
    gate.reached.lock().unwrap().send(()).unwrap();
    gate.open.lock().unwrap().recv().unwrap();
    durable::cancelled()
}

#[workflow]
fn gated_run() -> bool {
    let cancelled = gated();
    work("next").unwrap();
    cancelled
}

#[workflow]
fn gated_with(_name: String) -> bool {
    gated()
}

// Bug: it was given a handle, as if the arguments did not matter. Cause: they were compared with what is stored only
// where no other call of the process had the id.
#[test]
fn a_start_of_a_run_that_is_executed_is_held_to_its_input() {
    let (gate, reaches, opens) = gate();
    let engine = builder(&Log::default(), &Switches::default()).with(gate).in_memory().unwrap();
    let start = |name: &str| gated_with::durable("a", name.to_owned()).on(&engine).start();
    let handle = start("a").unwrap();
    reaches.recv().unwrap();
    let (again, other) = (start("a"), start("b"));
    opens.send(()).unwrap();
    assert!(matches!(other, Err(Error::InputMismatch(_))));
    assert!(!handle.wait().unwrap() && !again.unwrap().wait().unwrap());
}

#[test]
fn a_cancelled_run_ends_at_its_next_operation_and_is_opened_again_by_resume() {
    let (log, (gate, reaches, opens)) = (Log::default(), gate());
    let engine = builder(&log, &Switches::default()).with(gate).in_memory().unwrap();
    let handle = gated_run::durable("a").on(&engine).start().unwrap();
    reaches.recv().unwrap();
    handle.cancel().unwrap();
    opens.send(()).unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    handle.cancel().unwrap();
    assert!(matches!(
        gated_run::durable("a").on(&engine).run(),
        Err(RunError::Engine(Error::Cancelled { .. }))
    ));
    assert_eq!((handle.status().unwrap(), keys(&engine, "a").len()), (RunStatus::Cancelled, 0));
    opens.send(()).unwrap();
    engine.resume("a").unwrap();
    assert!(!handle.wait().unwrap());
    assert_eq!(log.lines(), ["next"]);
    assert!(matches!(handle.cancel(), Err(Error::Refused { status: RunStatus::Completed, .. })));
}

#[test]
fn a_cancelled_sleep_ends_at_once_and_a_paused_one_goes_on_later() {
    let (engine, _, clock) = held();
    let handle = |id: &str| sleeper::durable(id, id.into()).on(&engine).start().unwrap();
    let (cancelled, paused) = (handle("cancelled"), handle("paused"));
    unloaded(&engine, "cancelled");
    unloaded(&engine, "paused");
    cancelled.cancel().unwrap();
    assert!(matches!(cancelled.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    engine.pause("paused").unwrap();
    engine.pause("paused").unwrap();
    clock.advance(Duration::from_hours(24));
    assert_eq!(paused.status().unwrap(), RunStatus::Paused);
    assert!(matches!(engine.pause("cancelled"), Err(Error::Refused { .. })));
    assert!(matches!(engine.unpause("cancelled"), Err(Error::Refused { .. })));
    assert!(matches!(engine.cancel("unknown"), Err(Error::UnknownRun { .. })));
    engine.unpause("paused").unwrap();
    assert_eq!(paused.wait().unwrap(), 14);
}

#[workflow]
fn parent(children: u32) -> u32 {
    let handles: Vec<_> =
        (0..children).map(|n| plain::start(format!("child {n}"), format!("child {n}")).unwrap()).collect();
    handles.iter().map(|handle| handle.wait().unwrap()).sum()
}

#[test]
fn a_run_starts_children_once_and_waits_for_them_without_holding_up_the_workers() {
    let log = Log::default();
    let engine = builder(&log, &Switches::default()).workers_max(1).in_memory().unwrap();
    let handle = parent::durable("p", 20).on(&engine).start().unwrap();
    assert_eq!(handle.wait().unwrap(), 140);
    let steps = engine.steps("p").unwrap();
    let kinds = |kind| steps.iter().filter(|step| step.kind == kind).count();
    assert_eq!((kinds(Kind::Start), kinds(Kind::Workflow), log.lines().len()), (20, 20, 20));
    let child = engine.run("child 3").unwrap().unwrap();
    assert_eq!(child.parent.unwrap().as_str(), "p");
    engine.rewind("p", "plain_5").unwrap();
    assert_eq!(parent::durable("p", 20).on(&engine).run().unwrap(), 140);
    assert_eq!(log.lines().len(), 20, "no child ran again");
}

#[workflow]
fn sleeping_parent(name: String) -> Result<u32, String> {
    sleeper::start(format!("{name}-child"), name).unwrap().wait().map_err(|_| "child".to_owned())
}

#[test]
fn children_are_cancelled_with_their_parents() {
    let (engine, _, _) = held();
    let handle = sleeping_parent::durable("a", "a".into()).on(&engine).start().unwrap();
    while engine.run("a-child").unwrap().is_none() {
        std::thread::yield_now();
    }
    unloaded(&engine, "a-child");
    handle.cancel().unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!(engine.run("a-child").unwrap().unwrap().status, RunStatus::Cancelled);
}

#[test]
fn a_shut_down_engine_lets_steps_finish_and_gives_its_runs_up() {
    let folder = tempfile::tempdir().unwrap();
    let (log, (gate, reaches, opens)) = (Log::default(), gate());
    let open = || builder(&log, &Switches::default()).with(Arc::clone(&gate));
    // On a clock that stands still nobody looks again by himself.
    let engine = open().clock(HeldClock::default()).open(folder.path().join("a.db")).unwrap();
    let handle = gated_run::durable("a").on(&engine).start().unwrap();
    reaches.recv().unwrap();
    let still = engine.shutdown(Duration::ZERO);
    assert_eq!(still.iter().map(WorkflowId::as_str).collect::<Vec<_>>(), ["a"]);
    opens.send(()).unwrap();
    assert!(engine.shutdown(Duration::from_mins(1)).is_empty());
    assert_eq!((keys(&engine, "a"), log.lines().len()), (vec!["gated_0".to_owned()], 0));
    assert!(matches!(gated_run::durable("b").on(&engine).start(), Err(Error::ShutDown)));
    let mut waits = pin!(handle.into_future());
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // A store of its own, as another process has.
    let store = SqliteStore::open(&folder.path().join("a.db")).unwrap();
    let other = open().recover(true).store(store).unwrap();
    assert!(!other.handle::<gated_run>("a").unwrap().unwrap().wait().unwrap(), "what it returned is kept");
    assert!(!support::block_on(waits).unwrap(), "it hears of the end elsewhere");
    assert_eq!(log.lines(), ["next"]);
}

#[workflow]
fn panics(name: String) -> u32 {
    let worked = work(&name).unwrap();
    assert!(!Switches::is_set("panic"), "as it was told to");
    worked
}

#[test]
fn a_run_whose_body_panics_is_taken_up_again_and_halted_in_the_end() {
    let (log, switches) = (Log::default(), Switches::default());
    switches.set("panic");
    let clock = TestClock::default();
    let engine = builder(&log, &switches).clock(clock).recoveries_max(3).in_memory().unwrap();
    let handle = panics::durable("a", "a".into()).on(&engine).start().unwrap();
    let halted = handle.wait().unwrap_err();
    assert!(matches!(halted, RunError::Engine(Error::Halted { .. })), "{halted}");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    switches.clear();
    handle.retry().unwrap();
    assert_eq!(handle.wait().unwrap(), 7);
    assert_eq!(log.lines(), ["a"]);
}

#[test]
fn a_run_that_cannot_be_read_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (log, clock) = (Log::default(), HeldClock::default());
    let engine = builder(&log, &Switches::default()).clock(clock.clone()).open(&path).unwrap();
    let later = Duration::from_mins(1);
    for id in ["damaged", "whole"] {
        plain::durable(id, id.to_owned()).on(&engine).start_after(later).unwrap();
    }
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute("update workflows set checksum = 1 where id = 'damaged'", []).unwrap();
    clock.advance(later);
    assert_eq!(engine.handle::<plain>("whole").unwrap().unwrap().wait().unwrap(), 7);
    assert!(engine.run("damaged").is_err());
    rows.execute("update workflows set checksum = null where id = 'damaged'", []).unwrap();
    // Where it was tried too early it is tried again after a while, which begins when that is seen.
    while engine.run("damaged").unwrap().unwrap().status != RunStatus::Completed {
        clock.advance(later);
        std::thread::yield_now();
    }
    assert_eq!(engine.handle::<plain>("damaged").unwrap().unwrap().wait().unwrap(), 7);
    assert_eq!(log.lines(), ["whole", "damaged"]);
}

/// An engine that somebody only asks about runs may lack what they need.
#[test]
fn an_engine_that_only_waits_for_a_run_does_not_take_it_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (log, clock) = (Log::default(), HeldClock::default());
    let engine = builder(&log, &Switches::default()).clock(clock.clone()).open(&path).unwrap();
    let asks = Engine::builder().clock(clock.clone()).open(&path).unwrap();
    let later = Duration::from_mins(1);
    plain::durable("a", "a".to_owned()).on(&engine).start_after(later).unwrap();
    let handle = asks.handle::<plain>("a").unwrap().unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| handle.wait().unwrap());
        clock.advance(later);
        assert_eq!(waits.join().unwrap(), 7);
    });
    assert_eq!(log.lines(), ["a"]);
}

/// Bug: a look for interrupted runs that failed was the last one: they stayed as they were. Cause: the look took
/// the dead owner, here nobody, off its list before it knew what came of it. Fix: it is put back.
#[test]
fn a_look_for_interrupted_runs_that_fails_is_made_again() {
    let (log, switches, failures) = (Log::default(), Switches::default(), Arc::new(AtomicU32::new(2)));
    switches.set("panic");
    let left = Arc::clone(&failures);
    let store = Asks(
        MemoryStore::default(),
        Arc::new(move |call| {
            let fails = call == "interrupted"
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let reason = "a test wants it so".into();
            if fails { Err(StoreError::Unavailable { action: call.into(), reason }) } else { Ok(()) }
        }),
    );
    let engine = builder(&log, &switches).store(store).unwrap();
    panics::durable("a", "a".into()).on(&engine).run().unwrap_err();
    switches.clear();
    engine.recover().unwrap();
    assert_eq!(engine.handle::<panics>("a").unwrap().unwrap().wait().unwrap(), 7);
    assert_eq!((log.lines(), failures.load(Ordering::SeqCst)), (vec!["a".to_owned()], 0));
}

/// What this process does itself is told to those who wait for it, without a question to the store for each.
#[test]
fn runs_that_end_cost_no_look_for_others() {
    const RUNS: usize = 1_000;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let store = Asks(
        MemoryStore::default(),
        Arc::new(move |call| {
            counted.fetch_add(usize::from(matches!(call, "due" | "next_due")), Ordering::SeqCst);
            Ok(())
        }),
    );
    let engine = builder(&Log::default(), &Switches::default()).clock(HeldClock::default());
    let engine = engine.store(store).unwrap();
    let handles: Vec<_> = (0..RUNS).map(|n| start(&engine, &format!("run {n}"))).collect();
    for handle in &handles {
        assert_eq!(handle.wait().unwrap(), 7);
    }
    assert!(looks.load(Ordering::SeqCst) < RUNS / 2, "{looks:?}");
}
