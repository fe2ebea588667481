//! A cancellation does not cut a shielded region in two: what was begun there is finished or undone, and then the run
//! ends.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/store.rs"]
mod asks;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asks::Asks;
use durable::store::sqlite::SqliteStore;
use durable::{Engine, Error, Handle, RunError, RunStatus, step, workflow};
use support::{HeldClock, Log, Switches, builder, keys};

/// Where a step meets its test: it says that it runs, and waits to be told to go on.
struct Gate(Mutex<Sender<String>>, Mutex<Receiver<()>>);

#[step]
fn gated(name: &str) -> bool {
    meet(name)
}

#[step]
async fn gated_polled(name: &str) -> bool {
    meet(name)
}

fn meet(name: &str) -> bool {
    let gate = durable::resource::<Arc<Gate>>();
    gate.0.lock().unwrap().send(name.to_owned()).unwrap();
    gate.1.lock().unwrap().recv().unwrap();
    Log::note(name);
    durable::cancelled()
}

#[step]
fn note(name: &str) {
    Log::note(name);
}

#[step]
async fn note_polled(name: &str) {
    Log::note(name);
}

struct Bench {
    engine: Engine,
    log: Log,
    switches: Switches,
    clock: HeldClock,
    reached: Receiver<String>,
    open: Sender<()>,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    fn new(in_file: bool) -> Self {
        let ((say, reached), (open, opened)) = (channel(), channel());
        let gate = Arc::new(Gate(Mutex::new(say), Mutex::new(opened)));
        let (log, switches, clock) = (Log::default(), Switches::default(), HeldClock::default());
        let builder = builder(&log, &switches).clock(clock.clone()).with(gate);
        let folder = in_file.then(|| tempfile::tempdir().unwrap());
        let engine = match &folder {
            Some(folder) => builder.open(folder.path().join("runs.db")),
            None => builder.in_memory(),
        };
        Self { engine: engine.unwrap(), log, switches, clock, reached, open, _folder: folder }
    }

    /// Cancels the run while the step of this name runs, then lets it go on.
    fn cancel_at(&self, id: &str, name: &str) {
        assert_eq!(self.reached.recv().unwrap(), name);
        self.engine.cancel(id).unwrap();
        self.open.send(()).unwrap();
    }

    /// Lets the step of this name go on.
    fn pass(&self, name: &str) {
        assert_eq!(self.reached.recv().unwrap(), name);
        self.open.send(()).unwrap();
    }
}

fn each_store(check: impl Fn(&Bench)) {
    check(&Bench::new(false));
    check(&Bench::new(true));
}

#[track_caller]
fn is_cancelled<W: durable::__private::Workflow>(bench: &Bench, handle: &Handle<W>) {
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!(bench.engine.run(handle.id()).unwrap().unwrap().status, RunStatus::Cancelled);
}

#[workflow]
fn books() -> u32 {
    note("before");
    durable::shield(|| {
        assert!(!gated("book"), "in a region nobody is told to hurry");
        note("undo");
    });
    Log::note("past it");
    note("after");
    1
}

#[test]
fn what_was_begun_in_a_shield_is_undone_there_and_then_the_run_is_cancelled() {
    each_store(|bench| {
        let handle = books::durable("a").on(&bench.engine).start().unwrap();
        bench.cancel_at("a", "book");
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.lines(), ["before", "book", "undo"]);
        assert_eq!(keys(&bench.engine, "a"), ["note_0", "gated_1", "note_2"], "a shield takes no position");
        bench.engine.resume("a").unwrap();
        assert_eq!(handle.wait().unwrap(), 1);
        assert_eq!(
            bench.log.lines(),
            ["before", "book", "undo", "past it", "after"],
            "a replay passes through it"
        );
    });
}

#[workflow]
fn books_after() -> u32 {
    gated("first");
    durable::shield(|| note("book"));
    1
}

#[test]
fn a_shield_that_was_not_entered_before_does_not_begin() {
    each_store(|bench| {
        let handle = books_after::durable("a").on(&bench.engine).start().unwrap();
        bench.cancel_at("a", "first");
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.lines(), ["first"]);
        assert!(keys(&bench.engine, "a").is_empty());
    });
}

#[workflow]
async fn books_polled() -> u32 {
    durable::future::shield(async {
        assert!(!gated_polled("book").await, "in a region nobody is told to hurry");
        durable::join!(note_polled("undo"), note_polled("tell"));
    })
    .await;
    Log::note("past it");
    note_polled("after").await;
    1
}

#[test]
fn futures_are_shielded_too() {
    each_store(|bench| {
        let start = books_polled::durable("a").on(&bench.engine).start();
        let handle = support::block_on(async { start.await.unwrap() });
        bench.cancel_at("a", "book");
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.lines(), ["book", "undo", "tell"]);
        assert_eq!(keys(&bench.engine, "a").len(), 3);
        bench.engine.resume("a").unwrap();
        assert_eq!(handle.wait().unwrap(), 1);
    });
}

#[workflow]
fn nests() -> u32 {
    durable::shield(|| {
        durable::shield(|| gated("inner"));
        note("outer");
        plain_child();
    });
    note("after");
    1
}

#[workflow]
fn plain_child() -> u32 {
    note("child");
    2
}

#[test]
fn the_outermost_shield_counts_and_a_plain_child_is_part_of_it() {
    each_store(|bench| {
        let handle = nests::durable("a").on(&bench.engine).start().unwrap();
        bench.cancel_at("a", "inner");
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.lines(), ["inner", "outer", "child"]);
    });
}

#[test]
fn a_pause_waits_for_the_end_of_a_shield_and_a_cancellation_outranks_it() {
    each_store(|bench| {
        let start = |id: &str| books::durable(id).on(&bench.engine).start().unwrap();
        let (paused, both) = (start("paused"), start("both"));
        for _ in 0..2 {
            assert_eq!(bench.reached.recv().unwrap(), "book");
        }
        bench.engine.pause("paused").unwrap();
        bench.engine.pause("both").unwrap();
        bench.engine.cancel("both").unwrap();
        bench.engine.pause("both").unwrap();
        bench.open.send(()).unwrap();
        bench.open.send(()).unwrap();
        is_cancelled(bench, &both);
        while paused.status().unwrap() == RunStatus::Running {
            std::thread::yield_now();
        }
        assert_eq!((paused.status().unwrap(), keys(&bench.engine, "paused").len()), (RunStatus::Paused, 3));
        bench.engine.unpause("paused").unwrap();
        assert_eq!(paused.wait().unwrap(), 1);
        assert_eq!(bench.log.count("undo"), 2);
    });
}

#[workflow]
fn beside_a_shield() -> u32 {
    durable::join(
        || {
            durable::shield(|| {
                gated("book");
                note("undo");
            });
        },
        || {
            note("beside");
            note("beside again");
        },
    );
    1
}

#[test]
fn as_long_as_one_branch_is_shielded_all_go_on() {
    each_store(|bench| {
        let handle = beside_a_shield::durable("a").on(&bench.engine).start().unwrap();
        assert_eq!(bench.reached.recv().unwrap(), "book");
        bench.engine.cancel("a").unwrap();
        while bench.log.count("beside again") == 0 {
            std::thread::yield_now();
        }
        bench.open.send(()).unwrap();
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.count("undo"), 1);
        assert_eq!(keys(&bench.engine, "a").len(), 4, "all of it is recorded");
    });
}

#[workflow]
fn sleeps_in_a_shield() -> u32 {
    durable::shield(|| {
        note("book");
        durable::sleep(Duration::from_hours(1));
        note("undo");
    });
    note("after");
    1
}

#[test]
fn a_run_that_sleeps_in_a_shield_stays_loaded_and_comes_to_its_end() {
    each_store(|bench| {
        let handle = sleeps_in_a_shield::durable("a").on(&bench.engine).start().unwrap();
        while keys(&bench.engine, "a").len() < 2 {
            std::thread::yield_now();
        }
        bench.engine.cancel("a").unwrap();
        assert!(bench.engine.run("a").unwrap().unwrap().owner.is_some());
        // Also when it is to be given up.
        assert_eq!(bench.engine.shutdown(Duration::ZERO).len(), 1);
        while handle.status().unwrap() == RunStatus::Running {
            bench.clock.advance(Duration::from_hours(1));
            std::thread::yield_now();
        }
        is_cancelled(bench, &handle);
        assert_eq!(bench.log.lines(), ["book", "undo"]);
    });
}

#[workflow]
fn panics_in_a_shield() -> u32 {
    durable::shield(|| {
        gated("book");
        assert!(!Switches::is_set("panic"), "as it was told to");
    });
    1
}

#[test]
fn a_panic_in_a_shield_ends_a_cancelled_run_as_cancelled() {
    each_store(|bench| {
        bench.switches.set("panic");
        let handle = panics_in_a_shield::durable("a").on(&bench.engine).start().unwrap();
        assert_eq!(bench.reached.recv().unwrap(), "book");
        bench.engine.cancel("a").unwrap();
        bench.open.send(()).unwrap();
        is_cancelled(bench, &handle);
    });
}

#[test]
fn a_shield_around_nothing_durable_is_a_plain_call() {
    assert_eq!(durable::shield(|| 1), 1);
    assert_eq!(support::block_on(durable::future::shield(async { 2 })), 2);
    let bench = Bench::new(false);
    let handle = shields_in_a_step::durable("a").on(&bench.engine).start().unwrap();
    bench.cancel_at("a", "in a step");
    is_cancelled(&bench, &handle);
    assert!(keys(&bench.engine, "a").is_empty(), "a step is not made to last by it");
}

#[step]
fn shielded_step() {
    durable::shield(|| meet("in a step"));
}

#[workflow]
fn shields_in_a_step() {
    shielded_step();
}

#[workflow]
fn has_a_child_in_a_shield() -> u32 {
    durable::shield(|| {
        note("book");
        gated_child::run_durable("child").unwrap();
        note("undo");
    });
    1
}

#[workflow]
fn gated_child() {
    gated("in the child");
    note("in the child again");
}

#[test]
fn a_run_of_its_own_in_a_shield_is_cancelled_and_ends_the_run() {
    each_store(|bench| {
        let handle = has_a_child_in_a_shield::durable("a").on(&bench.engine).start().unwrap();
        bench.cancel_at("a", "in the child");
        is_cancelled(bench, &handle);
        assert_eq!(bench.engine.run("child").unwrap().unwrap().status, RunStatus::Cancelled);
        assert_eq!(bench.log.lines(), ["book", "in the child"]);
    });
}

#[test]
fn what_is_not_cancelled_is_not_changed_by_a_shield() {
    each_store(|bench| {
        let handle = books::durable("a").on(&bench.engine).start().unwrap();
        bench.pass("book");
        assert_eq!(handle.wait().unwrap(), 1);
        assert!(matches!(bench.engine.cancel("a"), Err(Error::Refused { .. })));
        let again = books::durable("a").on(&bench.engine).run();
        assert!(matches!(again, Ok::<_, RunError<_>>(1)));
    });
}

#[workflow]
fn races_a_shield() -> u32 {
    let shielded = || {
        Armed::struck();
        durable::shield(|| (gated("book"), note("undo")))
    };
    durable::join(|| arm("beside"), shielded);
    1
}

#[workflow]
async fn races_a_shield_polled() -> u32 {
    let shielded = async {
        Armed::struck();
        durable::future::shield(async {
            gated_polled("book").await;
            note_polled("undo").await;
        })
        .await;
    };
    durable::join!(arm_polled("beside"), shielded);
    1
}

/// Has the run cancelled by another process before the next write.
#[derive(Default)]
struct Armed {
    is_armed: AtomicBool,
    has_struck: AtomicBool,
}

impl Armed {
    fn arm() {
        durable::resource::<Arc<Self>>().is_armed.store(true, Ordering::SeqCst);
    }

    /// Blocks until that write has been handed over.
    fn struck() {
        while !durable::resource::<Arc<Self>>().has_struck.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    }
}

#[step]
fn arm(name: &str) {
    Log::note(name);
    Armed::arm();
}

#[step]
async fn arm_polled(name: &str) {
    Log::note(name);
    Armed::arm();
}

/// A store whose writer, once armed, waits until a step of the shield runs and then is cancelled by somebody else.
fn armed() -> (tempfile::TempDir, Engine, Log, Sender<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let ((say, reached), (open, opened)) = (channel(), channel());
    let (log, armed, reached) = (Log::default(), Arc::new(Armed::default()), Mutex::new(reached));
    let (arms, rows) = (Arc::clone(&armed), path.clone());
    let before = move |call| {
        if call == "apply" && arms.is_armed.swap(false, Ordering::SeqCst) {
            arms.has_struck.store(true, Ordering::SeqCst);
            assert_eq!(reached.lock().unwrap().recv().unwrap(), "book");
            let rows = rusqlite::Connection::open(&rows).unwrap();
            rows.execute("update workflows set wanted = 'CANCEL', checksum = null", []).unwrap();
        }
        Ok(())
    };
    let store = Asks(SqliteStore::open(&path).unwrap(), Arc::new(before));
    let gate = Arc::new(Gate(Mutex::new(say), Mutex::new(opened)));
    let engine = builder(&log, &Switches::default()).with(gate).with(armed).store(store).unwrap();
    (folder, engine, log, open)
}

#[test]
fn a_step_that_another_process_cut_off_beside_a_shield_waits_for_its_end() {
    let (_folder, engine, log, open) = armed();
    open.send(()).unwrap();
    let ended = races_a_shield::durable("a").on(&engine).run();
    assert!(matches!(ended, Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!((log.count("undo"), keys(&engine, "a")), (1, vec!["gated_0.1.0".into(), "note_0.1.1".into()]));
}

#[test]
fn a_future_that_another_process_cut_off_beside_a_shield_waits_for_its_end() {
    let (_folder, engine, log, open) = armed();
    open.send(()).unwrap();
    let ended = support::block_on(races_a_shield_polled::durable("a").on(&engine).run());
    assert!(matches!(ended, Err(RunError::Engine(Error::Cancelled { .. }))));
    assert_eq!(log.count("undo"), 1);
    assert_eq!(keys(&engine, "a"), ["gated_polled_0.1.0", "note_polled_0.1.1"]);
}
