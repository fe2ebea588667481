//! What user code does while something is dropped or unwinds is no part of the run: nothing of it is recorded,
//! it cannot hide a fault, and it does not end the process for the fault of another branch.

mod support;

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Barrier, mpsc};
use std::task::Poll;
use std::time::Duration;

use durable::store::RunStatus;
use durable::{Error, Overlap, RunError, StepFailed, step, workflow};
use support::{Log, Switches, engine, keys};

#[step]
fn note(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

#[step]
async fn unstorable() -> f64 {
    f64::NAN
}

#[step]
fn unstorable_at_once() -> f64 {
    f64::NAN
}

/// Calls steps in branches when it is dropped.
struct CallsInBranches(u32);

impl Drop for CallsInBranches {
    fn drop(&mut self) {
        if self.0 == 0 {
            durable::join(|| note("a"), || note("b"));
        } else {
            durable::map(["a", "b"], 2, note);
        }
    }
}

#[workflow]
fn cleans_up(way: u32) -> bool {
    let caught = catch_unwind(|| {
        let _calls = CallsInBranches(way);
        panic!("the user's");
    });
    note("after");
    caught.is_err()
}

/// Bug: branches of a construct that a `Drop` began while a panic unwound took positions of the run. Cause: the
/// threads of the branches do not unwind themselves. Fix: they are told.
#[test]
fn nothing_is_recorded_in_branches_that_a_drop_begins_while_a_panic_unwinds() {
    for way in [0, 1] {
        let (engine, log, _) = engine();
        assert!(cleans_up::durable("x", way).on(&engine).run().unwrap());
        assert_eq!(keys(&engine, "x"), ["note_0"]);
        assert_eq!((log.count("a"), log.count("b"), log.count("after")), (1, 1, 1));
    }
}

#[workflow]
fn noted() -> String {
    note("inner")
}

#[workflow]
async fn noted_later() -> String {
    note("inner later")
}

/// Sleeps and runs workflows when it is dropped.
struct DoesAllElse;

impl Drop for DoesAllElse {
    fn drop(&mut self) {
        durable::sleep(Duration::from_millis(1));
        noted();
        let refused = [noted::run_durable("own"), smol::block_on(noted_later::run_durable("own later"))];
        let is_refused = |ended: &_| matches!(ended, Err(RunError::Engine(Error::Unwinding { .. })));
        Log::note(format!("refused: {}", refused.iter().all(is_refused)));
    }
}

#[workflow(allow(blocking))]
fn cleans_up_with_all_else() -> bool {
    let caught = catch_unwind(|| {
        let _does = DoesAllElse;
        panic!("the user's");
    });
    note("after");
    caught.is_err()
}

#[test]
fn no_sleep_and_no_workflow_that_a_drop_calls_while_a_panic_unwinds_is_recorded() {
    let (engine, log, _) = engine();
    assert!(cleans_up_with_all_else::durable("x").on(&engine).run().unwrap());
    assert_eq!(keys(&engine, "x"), ["note_0"]);
    assert_eq!(log.lines(), ["inner", "refused: true", "after"]);
    assert_eq!(engine.runs().count(), 1);
}

/// Calls a step when it is dropped.
struct CallsAStep;

impl Drop for CallsAStep {
    fn drop(&mut self) {
        note("cleanup");
    }
}

#[step]
async fn holds() -> u32 {
    let _calls = CallsAStep;
    std::future::pending().await
}

#[workflow]
async fn drops_a_step() -> String {
    let mut step = Box::pin(holds());
    assert!(smol::future::poll_once(&mut step).await.is_none());
    drop(step);
    note("after")
}

// The value is the step's, so its drop is a part of the step, and what it calls is plain.
#[test]
fn what_an_async_step_calls_as_it_is_dropped_is_a_plain_call() {
    let (engine, log, _) = engine();
    let error = smol::block_on(drops_a_step::durable("x").on(&engine).run()).unwrap_err();
    let RunError::Engine(Error::Unstructured(overlap)) = &error else { panic!("{error}") };
    assert_eq!(overlap.how, Overlap::Dropped);
    assert_eq!(log.lines(), ["cleanup"]);
    assert!(keys(&engine, "x").is_empty());
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the bomb goes off");
    }
}

#[workflow]
async fn bombed() -> f64 {
    let _bomb = Bomb;
    unstorable().await
}

#[test]
fn a_panic_of_a_value_that_a_fault_drops_does_not_hide_the_fault() {
    let (engine, _, _) = engine();
    let error = smol::block_on(bombed::durable("x").on(&engine).run()).unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::Unstorable { .. })), "{error}");
    assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Halted);
}

#[step(timeout = "1ms")]
async fn late_and_bombed() -> Result<u32, StepFailed> {
    Log::note("late");
    let _bomb = Bomb;
    std::future::pending().await
}

/// An argument whose clone for the next attempt panics.
#[derive(serde::Serialize, serde::Deserialize)]
struct Unclonable;

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        panic!("no clone")
    }
}

#[step(retries = 1, backoff = "1ms")]
async fn unclonable(_argument: Unclonable) -> Result<u32, StepFailed> {
    Ok(1)
}

#[step(retries = 1, backoff = "1ms")]
fn unclonable_at_once(_argument: Unclonable) -> Result<u32, StepFailed> {
    Ok(1)
}

type Step = Pin<Box<dyn Future<Output = Result<u32, StepFailed>> + Send>>;

#[workflow]
async fn goes_on(way: u32) -> String {
    let mut step: Step = match way {
        0 => Box::pin(late_and_bombed()),
        1 => Box::pin(unclonable(Unclonable)),
        _ => Box::pin(async { unclonable_at_once(Unclonable) }),
    };
    let ended = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| step.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Err(failed))) => Poll::Ready(failed.message().to_owned()),
        ended => Poll::Ready(format!("{:?}", ended.is_ok())),
    })
    .await;
    note("after");
    assert!(!Switches::is_set("stop"), "stopped");
    ended
}

/// Bug: a panic around the body of an async step (when its future was dropped, when its arguments were cloned)
/// left the step unrecorded; a workflow that caught it and went on was refused as changed on its next run.
#[test]
fn a_panic_around_the_body_of_a_step_is_its_failure() {
    for (way, said) in [(0, "the bomb goes off"), (1, "no clone"), (2, "no clone")] {
        let (engine, log, switches) = engine();
        switches.set("stop");
        smol::block_on(goes_on::durable("x", way).on(&engine).run()).unwrap_err();
        switches.clear();
        let ended = smol::block_on(goes_on::durable("x", way).on(&engine).run()).unwrap();
        assert!(ended.contains(said), "{ended}");
        assert_eq!(keys(&engine, "x").len(), 2);
        assert!(log.count("late") <= 1);
    }
}

/// Calls a step when it is dropped, once another branch has stopped the run.
struct CallsAfterTheFault(Arc<Barrier>, mpsc::Receiver<()>);

impl Drop for CallsAfterTheFault {
    fn drop(&mut self) {
        self.0.wait();
        // The sender is dropped as the fault unwinds.
        _ = self.1.recv();
        note("cleanup");
    }
}

#[workflow]
fn two_ends() -> u32 {
    let met = Arc::new(Barrier::new(2));
    let (sender, receiver) = mpsc::channel();
    let calls = CallsAfterTheFault(Arc::clone(&met), receiver);
    durable::join(
        move || {
            let _sender = sender;
            met.wait();
            unstorable_at_once()
        },
        move || {
            let _calls = calls;
            panic!("the user's");
        },
    );
    1
}

/// Bug: the process was aborted, as for a `Drop` that calls a step while a fault unwinds, though the panic was
/// the user's and the fault another branch's. Fix: a thread knows what it unwinds by.
#[test]
fn a_users_panic_is_not_taken_for_the_fault_of_another_branch() {
    let (engine, log, _) = engine();
    let error = two_ends::durable("x").on(&engine).run().unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::Unstorable { .. })), "{error}");
    assert_eq!(log.lines(), ["cleanup"], "a plain call");
    assert!(keys(&engine, "x").is_empty());
}

/// Runs this test in a process of its own, which knows its role by the environment.
fn program(test: &str, role: &str) -> std::process::Output {
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", test, "--nocapture"]).env(role, "1").output().unwrap()
}

/// Says that it runs, where it is told to: as a step that is no part of the run any more.
#[step]
fn speaks(line: &str) -> u32 {
    println!("{line}");
    0
}

struct Speaks;

impl Drop for Speaks {
    fn drop(&mut self) {
        speaks("the step of the drop runs");
    }
}

#[workflow]
fn faults_around_a_drop() -> f64 {
    let _calls = Speaks;
    unstorable_at_once()
}

// There is nothing that such a call could give back, and a step that ran all the same would run beside the record.
#[test]
fn a_step_that_a_drop_calls_while_a_fault_unwinds_ends_the_program_and_does_not_run() {
    const TEST: &str = "a_step_that_a_drop_calls_while_a_fault_unwinds_ends_the_program_and_does_not_run";
    const ROLE: &str = "DURABLE_TEST_FAULTS_AROUND_A_DROP";
    if std::env::var_os(ROLE).is_some() {
        let (log, switches) = (Log::default(), Switches::default());
        let engine = support::builder(&log, &switches).in_memory().unwrap();
        _ = faults_around_a_drop::durable("x").on(&engine).run();
        println!("the program goes on");
        return;
    }
    let ended = program(TEST, ROLE);
    let (said, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!ended.status.success() && !said.contains("the program goes on"), "{said}{told}");
    assert!(!said.contains("the step of the drop runs"), "{said}");
    assert!(told.contains("unstorable_at_once"), "the reason is told: {told}");
}

#[step]
fn breaks() -> u32 {
    panic!("it broke");
}

/// Handles a panic, and is stopped by a fault, so that the next call comes past the panic again.
#[workflow]
fn handles_a_panic() -> f64 {
    println!("is caught: {}", catch_unwind(breaks).is_err());
    unstorable_at_once()
}

// A replayed panic is a panic like any other, so the hook speaks; for the one that has just happened it has.
#[test]
fn the_panic_hook_speaks_once_of_a_steps_panic_and_once_of_its_replay() {
    const TEST: &str = "the_panic_hook_speaks_once_of_a_steps_panic_and_once_of_its_replay";
    const ROLE: &str = "DURABLE_TEST_COUNTS_PANICS";
    if std::env::var_os(ROLE).is_some() {
        std::panic::set_hook(Box::new(|_| println!("is told")));
        let (log, switches) = (Log::default(), Switches::default());
        let engine = support::builder(&log, &switches).in_memory().unwrap();
        for _ in 0..2 {
            handles_a_panic::durable("x").on(&engine).run().unwrap_err();
        }
        return;
    }
    let said = String::from_utf8(program(TEST, ROLE).stdout).unwrap();
    let said: Vec<_> = said.lines().filter(|line| line.starts_with("is ")).collect();
    assert_eq!(said, ["is told", "is caught: true", "is told", "is caught: true"]);
}
