//! An async run makes no call of its store on a thread of the executor, so a slow disk never holds up the
//! other tasks of that thread.

#[path = "support/store.rs"]
mod asks;
mod support;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use asks::{Asks, Before};
use durable::store::memory::MemoryStore;
use durable::store::sqlite::SqliteStore;
use durable::store::{Answer, Claim, Op, OwnerId, RunStatus, Start, StepReader, StepStore, StoreError};
use durable::{Engine, Error, RunError, TestClock, step, workflow};
use support::{Log, Switches, keys};

/// Refuses to be called on one thread, as a disk that takes long would be felt there. Counts its calls.
#[derive(Clone)]
struct Elsewhere {
    executor: ThreadId,
    calls: Arc<AtomicUsize>,
    gate: Gate,
}

/// Closed, it keeps the steps of runs from being read.
#[derive(Clone, Default)]
struct Gate(Arc<AtomicBool>);

impl Gate {
    fn close(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn pass(&self) {
        while self.0.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

impl Elsewhere {
    fn before_each_call(self) -> Before {
        Arc::new(move |call| {
            assert_ne!(thread::current().id(), self.executor, "a call of the store on the executor's thread");
            self.calls.fetch_add(1, Ordering::SeqCst);
            if call == "scan" {
                self.gate.pass();
            }
            Ok(())
        })
    }
}

#[step]
async fn note(name: &str) -> Result<String, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[step]
async fn unstorable() -> f64 {
    f64::NAN
}

#[workflow]
async fn inner() -> Result<String, String> {
    note("inner").await
}

#[workflow]
async fn everything() -> Result<String, String> {
    let first = note("first").await?;
    durable::future::sleep(Duration::from_millis(1)).await;
    let (a, b) = durable::join!(note("a"), note("b"));
    let child = inner().await?;
    let own = inner::run_durable("inner").await.map_err(|error| error.to_string())?;
    if Switches::is_set("stop") {
        unstorable().await;
    }
    assert!(!Switches::is_set("panic"), "the body panics");
    Ok([first, a?, b?, child, own, note("last").await?].concat())
}

/// Runs `test` with an engine on a file, on an executor whose only thread the store refuses.
fn with_engine(test: impl AsyncFnOnce(&Engine, &Log, &Switches) + Send + 'static) -> usize {
    with_room(durable::HISTORY_BYTES_MAX, test)
}

/// As [`with_engine`], with so much room for what is recorded.
fn with_room(bytes_max: usize, test: impl AsyncFnOnce(&Engine, &Log, &Switches) + Send + 'static) -> usize {
    let run = move || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let (log, switches) = (Log::default(), Switches::default());
        let elsewhere =
            Elsewhere { executor: thread::current().id(), calls: Arc::default(), gate: Gate::default() };
        let store = Asks(SqliteStore::open(&path).unwrap(), elsewhere.clone().before_each_call());
        let builder =
            support::builder(&log, &switches).with(elsewhere.gate.clone()).history_bytes_max(bytes_max);
        let engine = builder.store(store).unwrap();
        smol::block_on(test(&engine, &log, &switches));
        elsewhere.calls.load(Ordering::SeqCst)
    };
    thread::spawn(run).join().unwrap()
}

/// Reads on another thread, as the test itself may not.
fn elsewhere<T: Send>(read: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(read).join().unwrap())
}

const RESULT: &str = "FIRSTABINNERINNERLAST";

#[test]
fn no_way_through_a_run_calls_the_store_on_the_executor() {
    let calls = with_engine(async |engine, log, switches| {
        let run = || everything::durable("x").on(engine).run();
        switches.set("b");
        assert!(matches!(run().await, Err(RunError::Failed(error)) if error == "b failed"));
        switches.clear();
        switches.set("panic");
        assert!(matches!(run().await, Err(RunError::Failed(_))), "it failed after its last step");
        elsewhere(|| engine.rewind("x", "note_2.1.0")).unwrap();
        assert!(matches!(run().await, Err(RunError::Engine(Error::Panicked { .. }))));
        assert_eq!(
            elsewhere(|| engine.run("x").unwrap().unwrap().owner),
            None,
            "before the caller hears of it"
        );
        switches.clear();
        switches.set("stop");
        assert!(matches!(run().await, Err(RunError::Engine(Error::Unstorable { .. }))));
        assert_eq!(elsewhere(|| engine.run("x").unwrap().unwrap().status), RunStatus::Halted);
        switches.clear();
        assert_eq!(run().await.unwrap(), RESULT);
        assert_eq!(run().await.unwrap(), RESULT);
        assert_eq!((log.count("first"), log.count("a"), log.count("inner")), (1, 1, 3));
        let keys = elsewhere(|| keys(engine, "x"));
        assert_eq!(keys[..4], ["note_0", "sleep_1", "note_2.0.0", "note_2.1.0"]);
    });
    assert!(calls > 10, "the store was asked {calls} times");
}

#[test]
fn a_future_that_is_dropped_gives_its_run_up_without_waiting() {
    with_engine(async |engine, _, _| {
        let mut run = pin!(everything::durable("x").on(engine).run());
        // In whatever it is dropped: in a read, a write, a sleep or between two of them.
        for _ in 0..3 {
            _ = smol::future::poll_once(&mut run).await;
        }
        {
            let dropped = everything::durable("y").on(engine).run();
            let mut dropped = Box::pin(dropped);
            while elsewhere(|| keys(engine, "y")).is_empty() {
                _ = smol::future::poll_once(&mut dropped).await;
            }
        }
        while elsewhere(|| engine.run("y").unwrap().unwrap().owner).is_some() {
            smol::future::yield_now().await;
        }
        assert_eq!(everything::durable("y").on(engine).run().await.unwrap(), RESULT);
        assert_eq!(run.await.unwrap(), RESULT);
    });
}

#[workflow]
async fn sleeps() -> Result<String, String> {
    let first = note("first").await?;
    durable::future::sleep(Duration::from_hours(24)).await;
    Ok(first + &note("last").await?)
}

#[step]
async fn never() {
    Log::note("never");
    std::future::pending::<()>().await;
}

#[workflow]
async fn waits() {
    never().await;
}

/// Each way into a run in the background, and out of it, on the only thread of a runtime.
async fn through_the_background(engine: &Engine, log: &Log, switches: &Switches) {
    switches.set("b");
    let handle = everything::durable("x").on(engine).start().await.unwrap();
    assert!(matches!((&handle).await, Err(RunError::Failed(error)) if error == "b failed"));
    elsewhere(|| engine.rewind("x", "note_2.1.0")).unwrap();
    for fault in ["panic", "stop"] {
        switches.clear();
        switches.set(fault);
        if fault == "panic" {
            everything::durable("x").on(engine).start().await.unwrap();
        } else {
            elsewhere(|| engine.retry("x")).unwrap();
        }
        assert!(matches!((&handle).await, Err(RunError::Engine(Error::Halted { .. }))), "{fault}");
    }
    switches.clear();
    elsewhere(|| engine.retry("x")).unwrap();
    assert_eq!(handle.await.unwrap(), RESULT);
    let woken = sleeps::durable("y").on(engine).start_after(Duration::from_hours(1)).await.unwrap();
    assert_eq!(woken.await.unwrap(), "FIRSTLAST");
    for id in ["cancelled", "left"] {
        let waits = waits::durable(id).on(engine).start().await.unwrap();
        log.take();
        while log.count("never") == 0 {
            tokio::task::yield_now().await;
        }
        if id == "cancelled" {
            elsewhere(|| engine.cancel(id)).unwrap();
            assert!(matches!(waits.await, Err(RunError::Engine(Error::Cancelled { .. }))));
        }
    }
}

/// As [`no_way_through_a_run_calls_the_store_on_the_executor`], for runs that nobody calls for; in the end the runtime
/// shuts down, and gives one up that is under way.
#[test]
fn no_way_through_a_run_in_the_background_calls_the_store_on_its_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let (log, switches, here) = (Log::default(), Switches::default(), thread::current().id());
    let (calls, wrong) = (Arc::new(AtomicUsize::new(0)), Log::default());
    let (counted, noted) = (Arc::clone(&calls), wrong.clone());
    let before = move |call: &'static str| {
        counted.fetch_add(1, Ordering::SeqCst);
        if thread::current().id() == here {
            noted.push(call);
        }
        Ok(())
    };
    let store = Asks(SqliteStore::open(&folder.path().join("runs.db")).unwrap(), Arc::new(before));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let builder = support::builder(&log, &switches).clock(TestClock::default()).recoveries_max(0);
    let engine = builder.runtime(runtime.handle().clone()).store(store).unwrap();
    runtime.block_on(through_the_background(&engine, &log, &switches));
    drop(runtime);
    elsewhere(|| while engine.run("left").unwrap().unwrap().owner.is_some() {});
    assert_eq!(wrong.lines(), [""; 0], "of {calls:?} calls");
    assert!(calls.load(Ordering::SeqCst) > 50);
}

/// A store that holds the write which takes run "x", until the test lets it go.
struct Holds(MemoryStore, Sender<()>, Receiver<()>);

impl StepStore for Holds {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let takes = |op: &Op| match op {
            Op::Start(Start { id, .. }) | Op::Claim(Claim { id, .. }) => id.as_str() == "x",
            _ => false,
        };
        if ops.iter().any(takes) {
            self.1.send(()).unwrap();
            self.2.recv().unwrap();
        }
        self.0.apply(ops)
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.0.reader()
    }

    fn owner(&self) -> OwnerId {
        self.0.owner()
    }
}

/// Bug: a future that was dropped while its start or its claim was being written left the run to its process, which
/// did not execute it, so other processes waited for it as long as that lived. Cause: nobody held what was not
/// taken yet. Fix: what was perhaps taken is disowned.
#[test]
fn a_future_that_is_dropped_while_it_takes_its_run_gives_that_up() {
    let ((held, holds), (let_go, let_gone)) = (channel(), channel());
    let (log, switches) = (Log::default(), Switches::default());
    let store = Holds(MemoryStore::default(), held, let_gone);
    let engine = support::builder(&log, &switches).store(store).unwrap();
    for _ in ["the start", "the claim"] {
        let mut taking = Box::pin(inner::durable("x").on(&engine).run());
        while holds.try_recv().is_err() {
            smol::block_on(smol::future::poll_once(&mut taking));
        }
        drop(taking);
        let_go.send(()).unwrap();
        // Writes go in their order, so what was handed over before this is written after it.
        smol::block_on(inner::durable("other").on(&engine).run()).unwrap();
        engine.reset("other").unwrap();
        let run = engine.run("x").unwrap().unwrap();
        assert_eq!((run.status, run.owner), (RunStatus::Running, None));
    }
    assert_eq!(log.count("inner"), 2, "of the other run alone");
}

#[test]
fn many_runs_on_one_thread_share_their_commits() {
    let runs = 200;
    let calls = with_engine(async move |engine, _, _| {
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> =
            (0..runs).map(|i| executor.spawn(inner::durable(format!("run {i}")).on(engine).run())).collect();
        executor
            .run(async {
                for task in tasks {
                    assert_eq!(task.await.unwrap(), "INNER");
                }
            })
            .await;
    });
    // One read, and a start, a step and an end for each run: without sharing as many commits.
    assert!(calls < runs + runs, "{calls} calls of the store for {runs} runs");
}

/// Every kind of operation, in branches that take turns; it is stopped at its end.
#[workflow]
async fn long(branches: u32) -> Result<usize, String> {
    let first = note("first").await?;
    durable::future::sleep(Duration::ZERO).await;
    let parts = durable::future::join_all((0..branches).map(async |branch| {
        let mut length = 0;
        for name in ["a", "b", "c"] {
            length += note(&format!("{name}{branch}")).await?.len();
            smol::future::yield_now().await;
        }
        Ok::<_, String>(length + inner().await?.len())
    }));
    let length = parts.await.into_iter().sum::<Result<usize, _>>()?;
    let own = inner::run_durable("inner").await.map_err(|error| error.to_string())?;
    assert!(!Switches::is_set("panic"), "the body panics");
    Ok(first.len() + length + own.len())
}

#[test]
fn what_has_no_room_in_memory_is_read_elsewhere_while_the_run_goes_on() {
    for room in [0, 4_000, durable::HISTORY_BYTES_MAX] {
        with_room(room, async |engine, log, switches| {
            let run = || long::durable("x", 300).on(engine).run();
            switches.set("panic");
            assert!(matches!(run().await, Err(RunError::Engine(Error::Panicked { .. }))));
            let ran = log.lines().len();
            assert_eq!(ran, 1 + 300 * 4 + 1);
            assert!(matches!(run().await, Err(RunError::Engine(Error::Panicked { .. }))));
            switches.clear();
            let length = (0..300).map(|branch: u32| 3 * (1 + branch.to_string().len()) + 5).sum::<usize>();
            assert_eq!(run().await.unwrap(), 5 + length + 5);
            assert_eq!(log.lines().len(), ran, "nothing ran again");
        });
    }
}

/// A read that is under way when its operation is dropped is no different from a write.
#[workflow]
async fn racing() -> String {
    if Switches::is_set("race") {
        durable::resource::<Gate>().close();
        #[durable::allow(concurrency)]
        smol::future::or(async { note("slow").await.unwrap() }, async { "fast".to_owned() }).await;
        durable::resource::<Gate>().open();
    } else {
        note("slow").await.unwrap();
    }
    assert!(!Switches::is_set("panic"), "the body panics");
    note("after").await.unwrap()
}

#[test]
fn an_operation_that_is_dropped_while_its_output_is_read_is_refused() {
    with_room(0, async |engine, _, switches| {
        let run = || racing::durable("x").on(engine).run();
        switches.set("panic");
        assert!(matches!(run().await, Err(RunError::Engine(Error::Panicked { .. }))));
        switches.clear();
        switches.set("race");
        let refused = run().await.unwrap_err();
        assert!(matches!(refused, RunError::Engine(Error::Unstructured(_))), "{refused}");
        switches.clear();
        assert_eq!(run().await.unwrap(), "AFTER");
    });
}
