//! Async workflows, under tokio, smol and a hand-written executor: the same keys, the same replay, and no
//! trace of a run in what the executor polls between two polls of it.

mod support;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use durable::store::RunStatus;
use durable::{Engine, Error, RunError, step, workflow};
use support::{Log, Switches, engine, keys, turns};

/// Runs a future to its end on this thread, with nothing but `std`.
fn by_hand<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn on_tokio<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[step]
async fn fetch(name: &str, delay: u32) -> Result<String, String> {
    turns(delay).await;
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[step]
fn plain(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

async fn two(name: &str, delay: u32) -> Result<String, String> {
    let first = fetch(&format!("{name}1"), delay).await?;
    Ok(first + &fetch(&format!("{name}2"), 1).await?)
}

#[workflow]
async fn fan(delays: [u32; 2]) -> Result<String, String> {
    let start = plain("start");
    let (a, b) = durable::join!(two("a", delays[0]), two("b", delays[1]));
    let all =
        durable::future::join_all((0..3).map(|i| async move { fetch(&format!("all{i}"), 3 - i).await }))
            .await;
    let mapped = durable::future::map(0..4, 2, async |i| fetch(&format!("map{i}"), 4 - i).await).await;
    let all: Result<String, String> = all.into_iter().chain(mapped).collect();
    Ok([start, a?, b?, all?].concat())
}

const RESULT: &str = "STARTA1A2B1B2ALL0ALL1ALL2MAP0MAP1MAP2MAP3";

#[test]
fn every_executor_and_every_timing_gives_the_same_keys_and_results() {
    let mut rows = Vec::new();
    for delays in [[0, 0], [5, 0], [0, 5]] {
        for run in [by_hand::<durable::RunFuture<fan>>, smol::block_on, on_tokio] {
            let (engine, log, _) = engine();
            assert_eq!(run(fan::durable("x", delays).on(&engine).run()).unwrap(), RESULT);
            assert_eq!(run(fan::durable("x", delays).on(&engine).run()).unwrap(), RESULT);
            assert_eq!(log.lines().len(), 12);
            rows.push(keys(&engine, "x"));
        }
    }
    assert!(rows.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(
        rows[0][..6],
        ["plain_0", "fetch_1.0.0", "fetch_1.0.1", "fetch_1.1.0", "fetch_1.1.1", "fetch_2.0.0"]
    );
    assert_eq!(rows[0][11], "fetch_3.3.0");
}

#[test]
fn a_failed_branch_runs_again_and_the_others_do_not() {
    let (engine, log, switches) = engine();
    switches.set("b1");
    let failed = smol::block_on(fan::durable("x", [0, 0]).on(&engine).run());
    assert!(matches!(failed, Err(RunError::Failed(error)) if error == "b1 failed"));
    // What ran after the failure was recorded after it, so only a rewind runs the failure again.
    switches.clear();
    engine.rewind("x", "fetch_1.1.0").unwrap();
    assert_eq!(smol::block_on(fan::durable("x", [0, 0]).on(&engine).run()).unwrap(), RESULT);
    assert_eq!((log.count("a1"), log.count("a2"), log.count("b1"), log.count("all0")), (1, 1, 2, 2));
}

#[workflow]
async fn long(name: String) -> Result<String, String> {
    let first = fetch(&format!("{name}1"), 3).await?;
    let second = fetch(&format!("{name}2"), 3).await?;
    Ok(first + &second)
}

#[test]
fn many_workflows_on_one_thread_never_see_one_another() {
    let (engine, _, _) = engine();
    let names: Vec<String> = (0..50).map(|i| format!("w{i}")).collect();
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = names
        .iter()
        .map(|name| executor.spawn(long::durable(name, name.clone()).on(&engine).run()))
        .collect();
    let outside = executor.spawn(async {
        turns(20).await;
        fetch("outside", 0).await
    });
    let _entered = engine.enter();
    smol::block_on(executor.run(async {
        assert_eq!(outside.await.unwrap(), "OUTSIDE");
        for (name, task) in names.iter().zip(tasks) {
            assert_eq!(task.await.unwrap(), format!("{name}1{name}2").to_uppercase());
        }
    }));
    for name in &names {
        assert_eq!(keys(&engine, name), ["fetch_0", "fetch_1"]);
    }
}

#[test]
fn a_future_that_is_dropped_gives_its_run_up_and_the_next_call_goes_on() {
    let (engine, log, _) = engine();
    let mut run = Box::pin(long::durable("x", "a".into()).on(&engine).run());
    while log.lines().is_empty() {
        assert!(smol::block_on(smol::future::poll_once(&mut run)).is_none());
    }
    assert!(engine.reset("x").is_err(), "it lives");
    drop(run);
    let stored = engine.run("x").unwrap().unwrap();
    assert_eq!((stored.status, stored.owner), (RunStatus::Running, None));
    assert_eq!(smol::block_on(long::durable("x", "a".into()).on(&engine).run()).unwrap(), "A1A2");
    assert_eq!(log.lines(), ["a1", "a2"]);
}

#[test]
fn a_second_call_waits_for_the_first_on_the_same_thread() {
    let (engine, log, _) = engine();
    let call = || long::durable("x", "a".into()).on(&engine).run();
    let (first, second) = smol::block_on(smol::future::zip(call(), call()));
    assert_eq!((first.unwrap(), second.unwrap()), ("A1A2".into(), "A1A2".into()));
    assert_eq!(log.lines(), ["a1", "a2"]);
}

/// Says when it is dropped, and in what: a step that is called then is one of the run, or plain.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[workflow]
async fn guarded() -> u32 {
    let _guard = Guard(durable::resource::<Arc<AtomicBool>>().as_ref().clone());
    if Switches::is_set("renamed") {
        plain("other");
    } else {
        fetch("one", 1).await.unwrap_or_default();
    }
    assert!(!Switches::is_set("stop"));
    1
}

#[test]
fn a_fault_drops_the_body_and_ends_the_future() {
    let dropped = Arc::new(AtomicBool::new(false));
    let (log, switches) = (Log::default(), Switches::default());
    let engine = support::builder(&log, &switches).with(Arc::clone(&dropped)).in_memory().unwrap();
    switches.set("stop");
    smol::block_on(guarded::durable("x").on(&engine).run()).unwrap_err();
    switches.clear();
    switches.set("renamed");
    dropped.store(false, Ordering::SeqCst);
    let error = smol::block_on(guarded::durable("x").on(&engine).run()).unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::Divergence(_))), "{error}");
    assert!(dropped.load(Ordering::SeqCst));
}

#[workflow]
fn blocking() -> Result<String, String> {
    // An async step under a nested executor belongs to the workflow that blocks on it.
    smol::block_on(async { Ok(fetch("a", 2).await? + &fetch("b", 0).await?) })
}

#[test]
fn async_steps_work_under_a_nested_executor() {
    let (engine, log, switches) = engine();
    switches.set("b");
    assert!(
        matches!(blocking::durable("x").on(&engine).run(), Err(RunError::Failed(error)) if error == "b failed")
    );
    switches.clear();
    assert_eq!(blocking::durable("x").on(&engine).run().unwrap(), "AB");
    assert_eq!(log.lines(), ["a", "b", "b"]);
}

#[workflow]
async fn panics_in_a_branch() -> u32 {
    let (a, _) = durable::join!(
        async {
            turns(3).await;
            assert!(!Switches::is_set("panic"), "branch 0");
            1
        },
        fetch("other", 5)
    );
    a
}

#[test]
fn a_panic_in_a_branch_goes_on_once_all_have_ended() {
    let (engine, log, switches) = engine();
    switches.set("panic");
    let error = smol::block_on(panics_in_a_branch::durable("x").on(&engine).run()).unwrap_err();
    assert!(
        matches!(&error, RunError::Engine(Error::Panicked { message, .. }) if message == "branch 0"),
        "{error}"
    );
    assert_eq!(keys(&engine, "x"), ["fetch_0.1.0"]);
    switches.clear();
    assert_eq!(smol::block_on(panics_in_a_branch::durable("x").on(&engine).run()).unwrap(), 1);
    assert_eq!(log.lines(), ["other"]);
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_run_can_be_spawned_on_a_runtime_of_many_threads() {
    let (engine, _, _) = engine();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|i| runtime.spawn(assert_send(fan::durable(format!("r{i}"), [i % 3, i % 5]).on(&engine).run())))
        .collect();
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap().unwrap(), RESULT);
    }
}

/// A future that is never ready and never wakes.
struct Never;

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

type Tasks = Arc<smol::Executor<'static>>;

#[workflow]
async fn spawning() -> u32 {
    let mut step = Box::pin(fetch("moved", 1));
    assert!(smol::future::poll_once(&mut step).await.is_none());
    durable::resource::<Tasks>().spawn(async move { drop(step.await) }).detach();
    Never.await;
    1
}

#[test]
fn a_step_that_is_moved_to_another_task_ends_the_run_with_both_places() {
    let (log, switches) = (Log::default(), Switches::default());
    let tasks = Tasks::new(smol::Executor::new());
    let engine: Engine = support::builder(&log, &switches).with(Tasks::clone(&tasks)).in_memory().unwrap();
    let error = smol::block_on(tasks.run(spawning::durable("x").on(&engine).run())).unwrap_err();
    let RunError::Engine(Error::Unstructured(moved)) = &error else { panic!("{error}") };
    assert!(moved.to_string().contains("fetch"), "{moved}");
    assert!(keys(&engine, "x").is_empty());
}

#[workflow]
async fn greedy() -> u32 {
    let all = durable::future::join_all((0..2).map(|i| async move {
        turns(100).await;
        i
    }));
    all.await.into_iter().sum()
}

#[test]
fn branches_that_yield_let_the_executor_go_on() {
    let (engine, _, _) = engine();
    let (run, other) = (greedy::durable("x").on(&engine).run(), async {
        turns(10).await;
        None
    });
    let first = smol::block_on(smol::future::or(async { Some(run.await.unwrap()) }, other));
    assert_eq!(first, None, "the other one was done first");
}

/// Calls a step when it is dropped.
struct CallsWhenDropped;

impl Drop for CallsWhenDropped {
    fn drop(&mut self) {
        plain("cleanup");
    }
}

#[workflow]
async fn cleaning() -> Result<String, String> {
    let _cleanup = CallsWhenDropped;
    let first = fetch("one", 0).await?;
    turns(3).await;
    Ok(first + &fetch("two", 0).await?)
}

#[test]
fn a_step_that_a_dropped_run_calls_in_its_drop_is_a_plain_call() {
    let (engine, log, _) = engine();
    let mut run = Box::pin(cleaning::durable("x").on(&engine).run());
    while keys(&engine, "x").is_empty() {
        assert!(smol::block_on(smol::future::poll_once(&mut run)).is_none());
    }
    let _entered = engine.enter();
    drop(run);
    assert_eq!(keys(&engine, "x"), ["fetch_0"], "nothing is recorded at a place that timing chose");
    assert_eq!(log.take(), ["one", "cleanup"]);
    assert_eq!(smol::block_on(cleaning::durable("x").on(&engine).run()).unwrap(), "ONETWO");
}

/// Wakes another task when it is dropped, as one does whose last handle a waker is.
struct WakesWhenDropped(Arc<Mutex<Option<Waker>>>);

impl Wake for WakesWhenDropped {
    fn wake(self: Arc<Self>) {}
}

impl Drop for WakesWhenDropped {
    fn drop(&mut self) {
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

#[test]
fn a_waker_may_wake_a_branch_when_it_is_dropped() {
    let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
    let branch = Arc::clone(&slot);
    let mut all = pin!(durable::future::join_all([poll_fn(move |cx| {
        *branch.lock().unwrap() = Some(cx.waker().clone());
        Poll::<()>::Pending
    })]));
    let first = Waker::from(Arc::new(WakesWhenDropped(slot)));
    assert!(all.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    drop(first);
    assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

struct PanicsWhenWoken(Arc<AtomicBool>);

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        panic!("the queue is gone");
    }
}

#[test]
fn a_waker_that_panics_ends_no_thread_that_others_need() {
    let woken = Arc::new(AtomicBool::new(false));
    let waker = Waker::from(Arc::new(PanicsWhenWoken(Arc::clone(&woken))));
    let mut sleep = pin!(durable::future::sleep(Duration::from_millis(1)));
    assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while !woken.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    smol::block_on(durable::future::sleep(Duration::from_millis(1)));
}
