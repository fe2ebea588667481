//! Failures of steps: retries and their waits, handled and escaped errors, panics. Time is the test's own.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable::store::StepStatus;
use durable::{Engine, Error, RunError, StepFailed, TestClock, step, workflow};
use support::{Log, Switches, engine, keys};

/// How often the steps of this engine fail before they succeed.
struct Failures(AtomicU32);

fn fails_now() -> bool {
    let failures = durable::resource::<Failures>();
    failures.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn flaky_engine(failures: u32) -> (Engine, Log, TestClock) {
    let (log, clock) = (Log::default(), TestClock::default());
    let builder = Engine::builder().with(log.clone()).with(Failures(AtomicU32::new(failures)));
    (builder.clock(clock.clone()).seed(7).in_memory().unwrap(), log, clock)
}

#[step(retries = 4, backoff = "100ms..1s")]
fn flaky(name: String) -> Result<String, String> {
    Log::note(&name);
    if fails_now() { Err("not yet".into()) } else { Ok(name) }
}

#[workflow]
fn retrying(name: String) -> Result<String, String> {
    flaky(name)
}

#[test]
fn a_step_is_retried_until_it_succeeds_and_only_that_is_recorded() {
    let (engine, log, clock) = flaky_engine(3);
    assert_eq!(retrying::durable("a", "x".into()).on(&engine).run().unwrap(), "x");
    assert_eq!(log.lines().len(), 4);
    let steps = engine.steps("a").unwrap();
    assert_eq!((steps.len(), steps[0].attempts, steps[0].status), (1, 4, StepStatus::Completed));
    let bounds = [100, 200, 400].map(Duration::from_millis);
    assert!(clock.waits().iter().zip(bounds).all(|(wait, bound)| *wait <= bound), "{:?}", clock.waits());
    assert_eq!(clock.waits().len(), 3);
}

#[test]
fn the_jitter_comes_from_the_seed_of_the_run() {
    let waits = || {
        let (engine, _, clock) = flaky_engine(4);
        retrying::durable("a", "x".into()).on(&engine).run().unwrap();
        clock.waits()
    };
    assert_eq!(waits(), waits());
}

#[test]
fn when_the_retries_are_used_up_the_last_error_is_recorded() {
    let (engine, log, _) = flaky_engine(u32::MAX);
    let failed = retrying::durable("a", "x".into()).on(&engine).run();
    assert!(matches!(failed, Err(RunError::Failed(error)) if error == "not yet"));
    assert_eq!(log.lines().len(), 5);
    let steps = engine.steps("a").unwrap();
    assert_eq!(
        (steps[0].attempts, steps[0].status, steps[0].output.as_str()),
        (5, StepStatus::Failed, "\"not yet\"")
    );
}

#[step(retries = 4, retry_if = is_temporary)]
fn picky() -> Result<(), String> {
    Log::note("picky");
    Err(if fails_now() { "temporary".into() } else { "for good".into() })
}

fn is_temporary(error: &String) -> bool {
    error == "temporary"
}

#[workflow]
fn picking() -> Result<(), String> {
    picky()
}

#[test]
fn a_failure_that_is_not_to_be_retried_is_recorded_at_once() {
    let (engine, log, _) = flaky_engine(2);
    picking::durable("a").on(&engine).run().unwrap_err();
    assert_eq!(log.lines().len(), 3);
}

#[step(retries = 2, timeout = "30s")]
async fn slow() -> Result<u32, StepFailed> {
    Log::note("slow");
    if fails_now() {
        std::future::pending::<()>().await;
    }
    Ok(1)
}

#[workflow]
async fn hurrying() -> Result<u32, StepFailed> {
    slow().await
}

#[test]
fn an_attempt_that_takes_too_long_is_dropped_and_retried() {
    let (engine, log, clock) = flaky_engine(1);
    let ended = smol::block_on(hurrying::durable("a").on(&engine).run());
    assert_eq!(ended.unwrap(), 1);
    assert_eq!(log.lines().len(), 2);
    assert!(clock.waits().contains(&Duration::from_secs(30)));
}

#[test]
fn a_step_that_always_takes_too_long_fails_as_its_own_error_type() {
    let (engine, _, _) = flaky_engine(u32::MAX);
    let failed = smol::block_on(hurrying::durable("a").on(&engine).run());
    let Err(RunError::Failed(failed)) = failed else { panic!("{failed:?}") };
    assert_eq!(failed.kind(), durable::FailureKind::Timeout);
    assert_eq!((failed.step(), failed.attempts()), ("slow_0", 3));
    assert!(failed.to_string().starts_with("step `slow_0` timed out"), "{failed}");
}

#[step]
fn pay() -> Result<u32, String> {
    Log::note("pay");
    if Switches::is_set("decline") { Err("declined".into()) } else { Ok(1) }
}

#[step]
fn refund() -> u32 {
    Log::note("refund");
    0
}

#[workflow]
fn compensating() -> u32 {
    let paid = pay().unwrap_or_else(|_| refund());
    assert!(!Switches::is_set("panic"));
    paid
}

#[test]
fn a_handled_error_is_handled_the_same_on_replay() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("decline");
    switches.set("panic");
    compensating::run_durable("a").unwrap_err();
    switches.clear();
    assert_eq!(compensating::run_durable("a").unwrap(), 0);
    assert_eq!(log.lines(), ["pay", "refund"]);
}

#[step(retries = 1)]
fn breakable() -> Result<u32, StepFailed> {
    Log::note("breakable");
    assert!(!Switches::is_set("break"), "broken");
    Ok(1)
}

#[workflow]
fn mending() -> Result<u32, StepFailed> {
    breakable()
}

#[test]
fn a_panic_in_a_step_is_a_failure_that_its_error_type_can_hold() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("break");
    let Err(RunError::Failed(failed)) = mending::run_durable("a") else { panic!("it failed") };
    assert_eq!((failed.kind(), failed.attempts()), (durable::FailureKind::Panic, 2));
    assert!(failed.to_string().starts_with("step `breakable_0` panicked: broken"), "{failed}");
    switches.clear();
    assert_eq!(mending::run_durable("a").unwrap(), 1);
    assert_eq!(log.lines().len(), 3);
}

#[step]
fn brittle() -> u32 {
    Log::note("brittle");
    assert!(!Switches::is_set("break"), "broken");
    1
}

#[step]
fn after() {
    Log::note("after");
}

#[workflow]
fn catching() -> String {
    let caught = catch_unwind(AssertUnwindSafe(brittle));
    after();
    assert!(!Switches::is_set("panic"), "stop");
    match caught {
        Ok(value) => value.to_string(),
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_default(),
    }
}

#[workflow]
fn trusting() -> u32 {
    brittle()
}

#[test]
fn a_panic_that_no_type_can_hold_panics_live_and_on_replay_with_its_message() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("break");
    switches.set("panic");
    catching::run_durable("a").unwrap_err();
    switches.clear();
    let replayed = catching::run_durable("a").unwrap();
    assert!(replayed.starts_with("step `brittle_0` panicked: broken"), "{replayed}");
    assert_eq!(log.lines(), ["brittle", "after"]);
}

#[test]
fn a_panic_that_escapes_is_dropped_and_its_step_runs_again() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("break");
    let error = trusting::run_durable("a").unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::Panicked { .. })), "{error}");
    assert_eq!(keys(&engine, "a"), ["brittle_0"]);
    switches.clear();
    assert_eq!(trusting::run_durable("a").unwrap(), 1);
    assert_eq!(log.lines().len(), 2);
}
/// A failure whose `Serialize` panics.
#[derive(Debug, serde::Deserialize)]
struct Grenade;

impl serde::Serialize for Grenade {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("no pin")
    }
}

#[step]
fn explosive() -> Grenade {
    Log::note("explosive");
    Grenade
}

#[step(retries = 2, backoff = "1ms", retry_if = undecided)]
fn undecidable() -> Result<u32, StepFailed> {
    Log::note("undecidable");
    Err(StepFailed::new(durable::FailureKind::Timeout, "undecidable", "no", 1))
}

fn undecided(_: &StepFailed) -> bool {
    panic!("cannot tell")
}

#[workflow]
fn touchy() -> String {
    let first = catch_unwind(explosive).err().unwrap();
    let first = first.downcast::<String>().unwrap();
    let second = undecidable().unwrap_err();
    after();
    assert!(!Switches::is_set("stop"));
    format!("{first}; {second}")
}

#[test]
fn a_panic_of_what_belongs_to_a_step_is_recorded_as_its_failure() {
    let (engine, log, switches) = engine();
    switches.set("stop");
    touchy::durable("x").on(&engine).run().unwrap_err();
    switches.clear();
    let said = touchy::durable("x").on(&engine).run().unwrap();
    assert!(said.contains("no pin") && said.contains("cannot tell"), "{said}");
    assert_eq!(log.lines(), ["explosive", "undecidable", "after"]);
    assert_eq!(keys(&engine, "x"), ["explosive_0", "undecidable_1", "after_2"]);
}
