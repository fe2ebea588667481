//! Async workflows in the background of an engine that has a tokio runtime: their steps use its timers and sockets, its
//! threads are never blocked, and when it shuts down its runs are left to others.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use durable::store::StepStatus;
use durable::{Durability, Engine, Error, Finding, Handle, RunError, RunStatus, TestClock, step, workflow};
use support::{HeldClock, Log, Switches, builder, keys};
use tokio::net::UnixDatagram;
use tokio::runtime::{Builder, Handle as RuntimeHandle, Runtime};
use tokio::sync::Semaphore;

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn many_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

const FLAVORS: [fn() -> Runtime; 2] = [one_thread, many_threads];

#[step]
async fn wait_for_a_timer() {
    let late = tokio::time::timeout(Duration::from_millis(1), pending::<()>()).await;
    assert!(late.is_err());
    Log::note("timer");
}

#[step]
async fn echo(text: &str) -> String {
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut bytes = [0; 100];
    let (sent, received) = tokio::join!(near.send(text.as_bytes()), far.recv(&mut bytes));
    assert_eq!(sent.unwrap(), text.len());
    Log::note("socket");
    String::from_utf8(bytes[..received.unwrap()].to_vec()).unwrap()
}

#[workflow]
async fn talks(sleep: bool) -> String {
    wait_for_a_timer().await;
    if sleep {
        durable::future::sleep(Duration::from_hours(1)).await;
    }
    assert!(!Switches::is_set("panic"), "the body panics");
    echo("hello").await
}

#[test]
fn timers_and_sockets_work_in_the_steps_of_started_woken_and_recovered_runs() {
    for runtime in FLAVORS.map(|make| make()) {
        let (log, clock, switches) = (Log::default(), HeldClock::default(), Switches::default());
        runtime.block_on(async {
            let engine = builder(&log, &switches).clock(clock.clone()).in_memory().unwrap();
            let started = talks::durable("started", false).on(&engine).start().await.unwrap();
            assert_eq!(started.await.unwrap(), "hello");

            let woken = talks::durable("woken", true).on(&engine).start().await.unwrap();
            while engine.run("woken").unwrap().unwrap().owner.is_some() {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_hours(1));
            assert_eq!(woken.await.unwrap(), "hello");

            switches.set("panic");
            talks::durable("recovered", false).on(&engine).run().await.unwrap_err();
            switches.clear();
            engine.recover().unwrap();
            let recovered = engine.handle::<talks>("recovered").unwrap().unwrap();
            assert_eq!(recovered.await.unwrap(), "hello");
        });
        assert_eq!((log.count("timer"), log.count("socket")), (3, 3));
    }
}

/// The name of the thread that polls, and whether that is in a runtime.
#[step]
async fn place() -> (String, bool) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    (name, RuntimeHandle::try_current().is_ok())
}

#[workflow]
async fn asks_where() -> (String, bool) {
    place().await
}

fn started<F: Future>(start: F) -> F::Output {
    support::block_on(start)
}

#[test]
fn an_engine_that_is_given_a_runtime_polls_there() {
    let runtime = Builder::new_multi_thread().thread_name("of-the-runtime").build().unwrap();
    let engine = Engine::builder().runtime(runtime.handle().clone()).in_memory().unwrap();
    let handle = started(asks_where::durable("a").on(&engine).start()).unwrap();
    assert_eq!(handle.wait().unwrap(), ("of-the-runtime".to_owned(), true));
}

#[test]
fn an_engine_that_is_opened_outside_a_runtime_polls_on_its_own_threads() {
    let engine = Engine::in_memory().unwrap();
    let runtime = one_thread();
    let handle = runtime.block_on(async { asks_where::durable("a").on(&engine).start().await.unwrap() });
    assert_eq!(handle.wait().unwrap(), ("durable-executor".to_owned(), false));
}

/// What the test is told of a step that waits, and what lets it go on.
struct Gate {
    reached: Mutex<Sender<()>>,
    open: Semaphore,
    waiting: AtomicUsize,
    waiting_max: AtomicUsize,
}

fn gate() -> (Arc<Gate>, Receiver<()>) {
    let (tell, reaches) = channel();
    let (waiting, waiting_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
    (Arc::new(Gate { reached: Mutex::new(tell), open: Semaphore::new(0), waiting, waiting_max }), reaches)
}

/// Notes where a future was dropped that had not ended.
struct Dropped {
    log: Log,
    has_ended: bool,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let place = if RuntimeHandle::try_current().is_ok() { "the runtime" } else { "elsewhere" };
        if !self.has_ended {
            self.log.push(format!("dropped in {place}"));
        }
    }
}

#[step]
async fn gated() {
    let gate = durable::resource::<Arc<Gate>>();
    let mut dropped = Dropped { log: Log::clone(&durable::resource::<Log>()), has_ended: false };
    gate.reached.lock().unwrap().send(()).unwrap();
    let waiting = gate.waiting.fetch_add(1, Ordering::SeqCst) + 1;
    gate.waiting_max.fetch_max(waiting, Ordering::SeqCst);
    gate.open.acquire().await.unwrap().forget();
    gate.waiting.fetch_sub(1, Ordering::SeqCst);
    dropped.has_ended = true;
}

#[workflow]
async fn passes() -> String {
    wait_for_a_timer().await;
    gated().await;
    echo("passed").await
}

#[workflow]
fn plain() -> u32 {
    7
}

/// Drives `runtime` until the gate is reached.
fn reach(runtime: &Runtime, reaches: &Receiver<()>) {
    runtime.block_on(async {
        while reaches.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    });
}

fn is_left(waited: &Result<String, RunError<Infallible>>) -> bool {
    matches!(waited, Err(RunError::Engine(Error::RuntimeShutDown { .. })))
}

#[test]
fn a_runtime_that_shuts_down_leaves_its_runs_due_and_tells_those_who_wait() {
    for runtime in FLAVORS.map(|make| make()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let (log, (gate, reaches)) = (Log::default(), gate());
        let open = || builder(&log, &Switches::default()).with(Arc::clone(&gate));
        let engine = open().runtime(runtime.handle().clone()).open(&path).unwrap();
        let handle = started(passes::durable("a").on(&engine).start()).unwrap();
        reach(&runtime, &reaches);
        thread::scope(|scope| {
            let waits = scope.spawn(|| handle.wait());
            let awaits = scope.spawn(|| support::block_on(async { handle.clone().await }));
            drop(runtime);
            assert!(is_left(&waits.join().unwrap()) && is_left(&awaits.join().unwrap()));
        });
        let left = engine.run("a").unwrap().unwrap();
        assert_eq!((left.status, left.owner, keys(&engine, "a").len()), (RunStatus::Running, None, 1));
        assert!(left.wake_at.is_some(), "it is due");
        assert_eq!(log.take(), ["timer", "dropped in the runtime"]);

        let refused = started(passes::durable("b").on(&engine).start()).unwrap_err();
        assert!(matches!(refused, Error::RuntimeShutDown { .. }), "{refused}");
        assert!(engine.run("b").unwrap().is_none(), "nothing was stored");
        assert_eq!(plain::durable("c").on(&engine).start().unwrap().wait().unwrap(), 7);
        assert!(is_left(&handle.wait()), "also now");

        gate.open.add_permits(1);
        let runtime = many_threads();
        let other = open().runtime(runtime.handle().clone()).recover(true).open(&path).unwrap();
        assert_eq!(other.handle::<passes>("a").unwrap().unwrap().wait().unwrap(), "passed");
        assert_eq!((handle.wait().unwrap().as_str(), log.lines()), ("passed", vec!["socket".to_owned()]));
    }
}

/// Nothing changes in the store then, so only the runtime itself can tell.
#[test]
fn who_waits_for_a_run_that_sleeps_is_told_that_its_runtime_has_shut_down() {
    let runtime = many_threads();
    let engine = builder(&Log::default(), &Switches::default()).clock(HeldClock::default());
    let engine = engine.runtime(runtime.handle().clone()).in_memory().unwrap();
    let handle = started(talks::durable("a", true).on(&engine).start()).unwrap();
    while engine.run("a").unwrap().unwrap().owner.is_some() {
        thread::yield_now();
    }
    let mut waits = pin!((&handle).into_future());
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(runtime);
    assert!(is_left(&support::block_on(waits)));
}

/// Waits for a task of the runtime, and lets nothing else happen until that was dropped.
#[step]
async fn relies_on_a_task() -> Result<u32, String> {
    let (kept, dropped) = channel::<()>();
    let task = tokio::spawn(async move {
        pending::<()>().await;
        drop(kept);
        7
    });
    if Switches::is_set("wait") {
        durable::resource::<Arc<Gate>>().reached.lock().unwrap().send(()).unwrap();
        dropped.recv().unwrap_err();
    } else {
        task.abort();
    }
    Log::note("ran");
    task.await.map_err(|error| error.to_string())
}

#[workflow]
async fn relies() -> Result<u32, String> {
    relies_on_a_task().await
}

#[test]
fn a_step_that_fails_because_the_runtime_shuts_down_is_not_recorded() {
    let ((gate, reaches), switches, log) = (gate(), Switches::default(), Log::default());
    switches.set("wait");
    let runtime = many_threads();
    let engine = builder(&log, &switches).with(gate).runtime(runtime.handle().clone()).in_memory().unwrap();
    let handle = started(relies::durable("a").on(&engine).start()).unwrap();
    reaches.recv().unwrap();
    runtime.shutdown_background();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::RuntimeShutDown { .. }))));
    assert_eq!((log.count("ran"), keys(&engine, "a").len()), (1, 0));
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Running);
}

#[test]
fn a_step_that_fails_for_its_own_reasons_is_recorded_on_a_runtime() {
    let log = Log::default();
    let runtime = many_threads();
    let engine = builder(&log, &Switches::default()).runtime(runtime.handle().clone()).in_memory().unwrap();
    let handle = started(relies::durable("a").on(&engine).start()).unwrap();
    assert!(handle.wait().unwrap_err().failed().is_some());
    assert_eq!(engine.steps("a").unwrap()[0].status, StepStatus::Failed);
}

/// Rests on a task of its own, as steps do that use clients and pools.
#[step]
async fn spawned(n: u32) -> Result<u32, String> {
    durable::resource::<Arc<Gate>>().open.acquire().await.unwrap().forget();
    let task = tokio::spawn(async move {
        tokio::task::yield_now().await;
        n
    });
    task.await.map_err(|error| error.to_string())
}

#[workflow]
async fn long() -> Result<u32, String> {
    let mut sum = 0;
    for n in 1..=6 {
        sum += spawned(n).await?;
    }
    Ok(sum)
}

/// Each runtime ends when a few more steps have begun, wherever they are by then.
#[test]
fn runs_go_on_from_one_runtime_to_the_next_until_they_have_ended() {
    const RUNS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let (path, gate) = (folder.path().join("runs.db"), gate().0);
    let has_ended = |run: Result<durable::store::RunRecord, Error>| run.unwrap().status != RunStatus::Running;
    for runtimes in 1.. {
        let (runtime, builder) = (many_threads(), builder(&Log::default(), &Switches::default()));
        let builder = builder.with(Arc::clone(&gate)).runtime(runtime.handle().clone()).recover(true);
        let engine = builder.durability(Durability::Off).open(&path).unwrap();
        if runtimes == 1 {
            for run in 0..RUNS {
                started(long::durable(format!("run {run}")).on(&engine).start()).unwrap();
            }
        }
        gate.open.add_permits(1 + runtimes % 5);
        while gate.open.available_permits() > 0 && !engine.runs().all(has_ended) {
            thread::yield_now();
        }
        drop(runtime);
        // The runs are given up by then, or will never be.
        while engine.runs().any(|run| run.unwrap().owner.is_some()) {
            thread::yield_now();
        }
        if engine.runs().all(has_ended) {
            assert!(runtimes >= RUNS * 6 / 5, "{runtimes} runtimes");
            let results = engine.runs().map(|run| run.unwrap().output.unwrap_or_default());
            assert_eq!(results.collect::<Vec<_>>(), vec!["21"; RUNS]);
            return;
        }
    }
}

#[workflow]
fn starts_a_child(wait: bool) -> String {
    let child = started(passes::start("child")).unwrap();
    if wait { child.wait().unwrap() } else { "started".to_owned() }
}

#[test]
fn a_plain_workflow_starts_async_ones_for_others_once_the_runtime_has_shut_down() {
    let runtime = one_thread();
    let engine = builder(&Log::default(), &Switches::default()).runtime(runtime.handle().clone());
    let engine = engine.in_memory().unwrap();
    drop(runtime);
    let parent = starts_a_child::durable("parent", false).on(&engine).start().unwrap();
    assert_eq!(parent.wait().unwrap(), "started");
    let child = engine.run("child").unwrap().unwrap();
    assert_eq!((child.status, child.owner, child.wake_at.is_some()), (RunStatus::Running, None, true));
    let waits = starts_a_child::durable("caller", true).on(&engine).run();
    assert!(matches!(waits, Err(RunError::Engine(Error::RuntimeShutDown { .. }))));
    assert_eq!(engine.run("caller").unwrap().unwrap().status, RunStatus::Running, "it is interrupted");
}

#[test]
fn a_cancelled_run_is_dropped_in_its_runtime() {
    for runtime in FLAVORS.map(|make| make()) {
        let (log, (gate, reaches)) = (Log::default(), gate());
        runtime.block_on(async {
            let engine = builder(&log, &Switches::default()).with(gate).in_memory().unwrap();
            let handle = passes::durable("a").on(&engine).start().await.unwrap();
            while reaches.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            handle.cancel().unwrap();
            assert!(matches!(handle.await, Err(RunError::Engine(Error::Cancelled { .. }))));
        });
        assert_eq!(log.lines(), ["timer", "dropped in the runtime"]);
    }
}

#[test]
fn a_body_that_panics_on_a_runtime_is_taken_up_again_and_halted_in_the_end() {
    for runtime in FLAVORS.map(|make| make()) {
        let (log, switches) = (Log::default(), Switches::default());
        switches.set("panic");
        runtime.block_on(async {
            let engine = builder(&log, &switches).clock(TestClock::default()).recoveries_max(3);
            let engine = engine.in_memory().unwrap();
            let handle = talks::durable("a", false).on(&engine).start().await.unwrap();
            let halted = (&handle).await.unwrap_err();
            assert!(matches!(halted, RunError::Engine(Error::Halted { .. })), "{halted}");
            switches.clear();
            handle.retry().unwrap();
            assert_eq!(handle.await.unwrap(), "hello");
        });
        assert_eq!(log.count("timer"), 1);
    }
}

#[workflow]
async fn crowd() {
    gated().await;
}

#[test]
fn no_more_runs_are_taken_up_at_once_than_before() {
    const RUNS: usize = 1_100;
    let (clock, (gate, reaches)) = (HeldClock::default(), gate());
    one_thread().block_on(async {
        let engine =
            builder(&Log::default(), &Switches::default()).clock(clock.clone()).with(Arc::clone(&gate));
        let engine = engine.in_memory().unwrap();
        let mut handles: Vec<Handle<crowd>> = Vec::new();
        for run in 0..RUNS {
            let start = crowd::durable(format!("run {run}")).on(&engine).start_after(Duration::from_mins(1));
            handles.push(start.await.unwrap());
        }
        clock.advance(Duration::from_mins(1));
        for _ in 0..1_000 {
            while reaches.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
        }
        gate.open.add_permits(RUNS);
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(gate.waiting_max.load(Ordering::SeqCst), 1_000);
}

#[test]
fn an_engine_is_shut_down_within_a_runtime_of_one_thread() {
    let (log, (gate, reaches)) = (Log::default(), gate());
    one_thread().block_on(async {
        let engine = builder(&log, &Switches::default()).with(Arc::clone(&gate)).in_memory().unwrap();
        _ = passes::durable("a").on(&engine).start().await.unwrap();
        while reaches.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let still = engine.shutdown(Duration::from_millis(1));
        assert_eq!(still.len(), 1, "it holds up its own run, and says so when the time has passed");
        let ends = engine.clone();
        let ends = tokio::task::spawn_blocking(move || ends.shutdown(Duration::from_mins(1)));
        gate.open.add_permits(1);
        assert!(ends.await.unwrap().is_empty());
        assert_eq!(keys(&engine, "a").len(), 2, "the step under way was recorded");
        let refused = passes::durable("b").on(&engine).start().await.unwrap_err();
        assert!(matches!(refused, Error::ShutDown), "{refused}");
    });
    assert_eq!(log.lines(), ["timer"]);
}

/// Tells the test on which thread it is dropped: with the engine, or with its store.
struct LastWords(Sender<String>);

impl Drop for LastWords {
    fn drop(&mut self) {
        _ = self.0.send(thread::current().name().unwrap_or_default().to_owned());
    }
}

#[test]
fn a_run_that_outlives_its_engine_does_not_close_it_on_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, (gate, reaches), (told, dropped)) = (Log::default(), gate(), channel());
    let runtime = one_thread();
    runtime.block_on(async {
        let builder = builder(&log, &Switches::default()).with(Arc::clone(&gate)).with(LastWords(told));
        let engine = builder.open(&path).unwrap();
        drop(passes::durable("a").on(&engine).start().await.unwrap());
        while reaches.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        drop(engine);
        gate.open.add_permits(1);
        let by = loop {
            match dropped.try_recv() {
                Ok(by) => break by,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(by, "durable-closer");
        // Nothing of the engine is left on the runtime.
        while RuntimeHandle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    });
    let engine = Engine::open(&path).unwrap();
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Completed);
}

#[workflow]
async fn makes_a_timer() -> String {
    echo("before").await;
    #[durable::allow(concurrency)]
    let timer = tokio::time::timeout(Duration::from_mins(1), pending::<()>());
    gated().await;
    drop(timer);
    echo("after").await
}

#[test]
fn a_check_has_what_a_body_makes_of_its_runtime() {
    let (gate, reaches) = gate();
    let runtime = one_thread();
    let engine = builder(&Log::default(), &Switches::default()).with(gate).runtime(runtime.handle().clone());
    let engine = engine.in_memory().unwrap();
    _ = started(makes_a_timer::durable("a").on(&engine).start()).unwrap();
    reach(&runtime, &reaches);
    let checked = engine.check().unwrap();
    assert!(
        matches!(&checked[0].finding, Finding::GoesOn(keys) if keys[0].as_str() == "gated_1"),
        "{}",
        checked[0]
    );
}
