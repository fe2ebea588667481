//! A run that a fault has stopped ends: nothing in it waits any more, no step begins, and no executor that
//! runs within it hangs.

mod support;

use std::future::poll_fn;
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use durable::store::RunStatus;
use durable::{Alarm, Clock, Error, RunError, TestClock, Timestamp, step, workflow};
use support::{Log, Switches, engine, keys};

/// How a run ends that is driven on a thread of its own. The bound only ends a test that hangs.
fn ends<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(run()));
    ended.recv_timeout(Duration::from_mins(1)).expect("the run hangs")
}

#[step]
async fn unstorable() -> f64 {
    smol::future::yield_now().await;
    f64::NAN
}

#[step]
fn unstorable_at_once() -> f64 {
    f64::NAN
}

#[step]
async fn note(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

#[step(retries = 5, backoff = "1h..1h")]
async fn refused() -> Result<u32, String> {
    Log::note("attempt");
    Err("refused".into())
}

#[step(retries = 5, backoff = "1h..1h")]
fn refused_at_once() -> Result<u32, String> {
    Log::note("attempt");
    Err("refused".into())
}

/// A run within this run that does the same.
#[workflow]
async fn inner() -> f64 {
    unstorable().await
}

#[workflow]
async fn nested(way: String) -> String {
    let value = match way.as_str() {
        "one step" => smol::block_on(unstorable()),
        "the first step" => smol::block_on(async { unstorable_at_once() }),
        "a join" => smol::block_on(async { durable::join!(unstorable(), note("other")).0 }),
        "a map" => smol::block_on(durable::future::map([1, 2], 2, async |_| unstorable().await))[0],
        "a child" => smol::block_on(inner()),
        "a run" => smol::block_on(inner::run_durable("inner")).unwrap(),
        "a thread" => durable::join(|| smol::block_on(unstorable()), || smol::block_on(note("other"))).0,
        "a hand-made runtime" => {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(unstorable())
        }
        _ => 0.0,
    };
    Log::note("after");
    format!("{value}")
}

#[test]
fn a_fault_under_an_executor_within_an_async_run_ends_the_run() {
    for way in [
        "one step",
        "the first step",
        "a join",
        "a map",
        "a child",
        "a run",
        "a thread",
        "a hand-made runtime",
    ] {
        let (engine, log, _) = engine();
        let mut run = nested::durable("x", way.into()).on(&engine).run();
        let ended = if way == "a hand-made runtime" {
            // Tokio refuses a runtime within a runtime, not within another executor.
            ends(move || smol::block_on(&mut run))
        } else {
            ends(move || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(&mut run))
        };
        let Err(RunError::Engine(Error::Unstorable { step, .. })) = ended else { panic!("{way}: {ended:?}") };
        assert!(step.starts_with("unstorable"), "{way}: {step}");
        assert_eq!(log.count("after"), 0, "{way}");
        let stored = engine.run("x").unwrap().unwrap();
        assert_eq!((stored.status, stored.owner), (RunStatus::Halted, None), "{way}");
    }
}

/// A clock whose waits never end, and which tells when somebody waits.
#[derive(Clone, Default)]
struct Stands(TestClock, Arc<(Mutex<u32>, Condvar)>);

impl Stands {
    fn someone_waits(&self) {
        *self.1.0.lock().unwrap() += 1;
        self.1.1.notify_all();
    }

    fn until_someone_waits(&self) {
        self.until_waiting(1);
    }

    fn until_waiting(&self, count: u32) {
        drop(self.1.1.wait_while(self.1.0.lock().unwrap(), |waits| *waits < count).unwrap());
    }
}

impl Clock for Stands {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, _: Duration) {
        self.someone_waits();
        loop {
            thread::park();
        }
    }

    fn wake_after(&self, _: Duration, _: std::task::Waker) -> Alarm {
        self.someone_waits();
        Alarm::rung()
    }
}

/// Waits in one branch, until another one is stopped.
fn wait(way: &str) {
    let time = Duration::from_hours(24 * 30);
    let stop = || {
        durable::resource::<Stands>().until_someone_waits();
        unstorable_at_once();
    };
    durable::join(stop, || match way {
        "a sleep" => durable::sleep(time),
        "a pause between attempts" => drop(refused_at_once()),
        "an async pause between attempts" => drop(smol::block_on(refused())),
        _ => smol::block_on(durable::future::sleep(time)),
    });
}

#[workflow]
fn waits_on_a_thread(way: String) {
    wait(&way);
}

#[workflow]
async fn waits_on_a_thread_of_a_polled_run(way: String) {
    wait(&way);
}

#[test]
fn a_run_that_is_stopped_waits_for_no_clock() {
    for way in ["a sleep", "a pause between attempts", "an async pause between attempts", "an async sleep"] {
        for polled in [false, true] {
            let (log, switches, clock) = (Log::default(), Switches::default(), Stands::default());
            let engine =
                support::builder(&log, &switches).with(clock.clone()).clock(clock).in_memory().unwrap();
            let on = engine.clone();
            let ended = ends(move || {
                if polled {
                    smol::block_on(waits_on_a_thread_of_a_polled_run::durable("x", way.into()).on(&on).run())
                } else {
                    waits_on_a_thread::durable("x", way.into()).on(&on).run()
                }
            });
            assert!(matches!(ended, Err(RunError::Engine(Error::Unstorable { .. }))), "{way}: {ended:?}");
            assert_eq!(log.count("attempt"), usize::from(way.contains("attempts")), "{way}");
            assert_eq!(engine.run("x").unwrap().unwrap().owner, None, "{way}");
        }
    }
}

#[workflow]
async fn held() -> u32 {
    poll_fn(|_| Poll::<()>::Pending).await;
    1
}

#[workflow]
fn waits_for_a_run() -> u32 {
    let waits = Barrier::new(2);
    let fault = || {
        waits.wait();
        unstorable_at_once()
    };
    let wait = async {
        let mut run = Box::pin(held::run_durable("held"));
        assert!(smol::future::poll_once(&mut run).await.is_none());
        waits.wait();
        run.await.unwrap()
    };
    durable::join(fault, || smol::block_on(wait)).1
}

#[test]
fn a_run_that_is_stopped_waits_for_no_other_run() {
    let (engine, _, _) = engine();
    let mut first = Box::pin(held::durable("held").on(&engine).run());
    assert!(smol::block_on(smol::future::poll_once(&mut first)).is_none());
    let on = engine.clone();
    let ended = ends(move || waits_for_a_run::durable("x").on(&on).run());
    assert!(matches!(ended, Err(RunError::Engine(Error::Unstorable { .. }))), "{ended:?}");
    assert_eq!(keys(&engine, "x"), [""; 0]);
}

#[step]
async fn two_turns(n: u32) -> u32 {
    Log::note(format!("start {n}"));
    smol::future::yield_now().await;
    Log::note(format!("end {n}"));
    n
}

#[workflow]
async fn breaks_in_the_closure() -> u32 {
    let all = durable::future::map([1_u32, 2, 3], 2, |n| {
        assert!(n != 2 || !Switches::is_set("broken"), "item {n}");
        two_turns(n)
    });
    all.await.into_iter().sum()
}

#[test]
fn a_panic_of_the_closure_of_a_map_goes_on_once_the_branches_have_ended() {
    let (engine, log, switches) = engine();
    switches.set("broken");
    let error = smol::block_on(breaks_in_the_closure::durable("x").on(&engine).run()).unwrap_err();
    assert!(
        matches!(&error, RunError::Engine(Error::Panicked { message, .. }) if message == "item 2"),
        "{error}"
    );
    assert_eq!(log.take(), ["start 1", "end 1"]);
    assert_eq!(keys(&engine, "x"), ["two_turns_0.0.0"]);
    switches.clear();
    assert_eq!(smol::block_on(breaks_in_the_closure::durable("x").on(&engine).run()).unwrap(), 6);
    assert_eq!(log.count("start 1"), 0);
}

#[workflow]
fn sleeper() {
    durable::sleep(Duration::from_hours(24 * 30));
}

#[workflow]
async fn async_sleeper() {
    durable::future::sleep(Duration::from_hours(24 * 30)).await;
}

#[workflow]
fn runs_a_sleeper(polled: bool) -> u32 {
    let stop = || {
        durable::resource::<Stands>().until_someone_waits();
        unstorable_at_once();
    };
    durable::join(stop, || {
        if polled {
            smol::block_on(async_sleeper::run_durable("inner")).unwrap();
        } else {
            sleeper::run_durable("inner").unwrap();
        }
    });
    1
}

/// Bug: a run that was stopped waited for the sleep of a run that it executes. Fix: it stops that too, which is
/// left as it is, since nothing is wrong with it.
#[test]
fn a_run_that_is_stopped_stops_the_runs_that_it_executes() {
    for polled in [false, true] {
        let (log, switches, clock) = (Log::default(), Switches::default(), Stands::default());
        let engine = support::builder(&log, &switches).with(clock.clone()).clock(clock).in_memory().unwrap();
        let on = engine.clone();
        let ended = ends(move || runs_a_sleeper::durable("x", polled).on(&on).run());
        assert!(matches!(ended, Err(RunError::Engine(Error::Unstorable { .. }))), "{ended:?}");
        let inner = engine.run("inner").unwrap().unwrap();
        assert_eq!((inner.status, inner.owner, inner.error), (RunStatus::Running, None, None));
        assert_eq!(keys(&engine, "inner"), ["sleep_0"]);
    }
}

#[workflow]
fn runs_two_sleepers() -> u32 {
    let stop = || {
        durable::resource::<Stands>().until_waiting(2);
        unstorable_at_once();
    };
    let sleep = |id| move || sleeper::run_durable(id).unwrap();
    durable::join(stop, || durable::join(sleep("first"), sleep("second")));
    1
}

#[test]
fn a_run_that_is_stopped_stops_all_the_runs_that_it_executes() {
    let (log, switches, clock) = (Log::default(), Switches::default(), Stands::default());
    let engine = support::builder(&log, &switches).with(clock.clone()).clock(clock).in_memory().unwrap();
    let on = engine.clone();
    let ended = ends(move || runs_two_sleepers::durable("x").on(&on).run());
    assert!(matches!(ended, Err(RunError::Engine(Error::Unstorable { .. }))), "{ended:?}");
    for id in ["first", "second"] {
        assert_eq!(engine.run(id).unwrap().unwrap().owner, None);
    }
}

#[workflow]
async fn plain_code_in_a_branch() -> u32 {
    let log = durable::resource::<Log>();
    durable::join!(async { unstorable_at_once() }, async { log.push("after the fault") });
    1
}

#[test]
fn no_branch_is_polled_after_a_fault() {
    let (engine, log, _) = engine();
    smol::block_on(plain_code_in_a_branch::durable("x").on(&engine).run()).unwrap_err();
    assert!(log.lines().is_empty());
}

type Moved = std::pin::Pin<Box<dyn Future<Output = String> + Send>>;

/// Where one run leaves an operation that it has begun.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<Moved>>>);

async fn begun() -> Moved {
    let mut step: Moved = Box::pin(note_in_turns());
    assert!(smol::future::poll_once(&mut step).await.is_none());
    step
}

#[step]
async fn note_in_turns() -> String {
    smol::future::yield_now().await;
    "moved".to_owned()
}

#[workflow(allow(thread))]
async fn moves_to_a_task() -> String {
    smol::block_on(smol::spawn(begun().await))
}

#[workflow(allow(thread))]
fn moves_to_a_task_from_a_call() -> String {
    smol::block_on(async { smol::spawn(begun().await).await })
}

#[workflow]
async fn leaves() -> u32 {
    *durable::resource::<Place>().0.lock().unwrap() = Some(begun().await);
    poll_fn(|_| Poll::<()>::Pending).await;
    1
}

#[workflow]
async fn takes() -> String {
    let step = durable::resource::<Place>().0.lock().unwrap().take().unwrap();
    step.await
}

/// Bug: whoever awaited an operation of a run elsewhere waited for ever once that had stopped the run, the run
/// itself included. Fix: it is polled again, and unwinds with the fault.
#[test]
fn an_operation_that_was_moved_away_ends_wherever_it_is() {
    let (engine, _, _) = engine();
    let on = engine.clone();
    let moved = ends(move || smol::block_on(moves_to_a_task::durable("x").on(&on).run()));
    assert!(matches!(moved, Err(RunError::Engine(Error::Unstructured(_)))), "{moved:?}");
    let moved = ends(move || moves_to_a_task_from_a_call::durable("y").on(&engine).run());
    assert!(matches!(moved, Err(RunError::Engine(Error::Unstructured(_)))), "{moved:?}");

    let engine = durable::Engine::builder().with(Place::default()).in_memory().unwrap();
    let (left, taken) = ends(move || {
        let mut left = Box::pin(leaves::durable("left").on(&engine).run());
        assert!(smol::block_on(smol::future::poll_once(&mut left)).is_none());
        let taken = smol::block_on(takes::durable("taken").on(&engine).run());
        (smol::block_on(left), taken)
    });
    assert!(matches!(left, Err(RunError::Engine(Error::Unstructured(_)))), "{left:?}");
    let Err(RunError::Engine(Error::Panicked { message, .. })) = &taken else { panic!("{taken:?}") };
    assert!(message.contains("polled in another"), "{message}");
}
