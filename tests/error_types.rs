//! Every kind of error type: to the workflow a live failure and its replay look the same, one that it handles
//! is handled again, and a
//! panic in a step is an error where the type has room for one.

mod support;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Context as _;
use durable::store::{RunStatus, StepStatus};
use durable::{Error, RunError, StepFailed, step, workflow};
use serde::{Deserialize, Serialize};
use support::{Log, Switches, engine, keys};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Way {
    Succeed,
    Fail,
    Panic,
}

/// The body of every step here.
fn go<E>(way: Way, fail: impl FnOnce() -> E) -> Result<u32, E> {
    Log::note("step");
    match way {
        Way::Succeed => Ok(7),
        Way::Fail => Err(fail()),
        Way::Panic => panic!("out of paper"),
    }
}

#[step]
fn after() {}

/// Tells the log what the workflow sees, then interrupts the run or not. A step came after, so the failure
/// counts as handled.
fn saw(what: String) -> String {
    after();
    Log::note(format!("saw {what}"));
    assert!(!Switches::is_set("interrupt"), "interrupted");
    what
}

/// All that a workflow can see of an error, but for the stack at its birth.
fn look<E: Display + Debug>(error: &E, downcast: &str) -> String {
    let debug = format!("{error:?}");
    let debug = debug.split("\n\nStack backtrace").next().unwrap_or_default();
    format!("{error} | {error:#} | {debug} | {downcast}")
}

/// Declares a step and a workflow that looks at how it ended.
macro_rules! seen {
    ($seen:ident, $step:ident, $E:ty, $fail:expr, $downcast:expr) => {
        #[step]
        fn $step(way: Way) -> Result<u32, $E> {
            go(way, || $fail)
        }

        #[workflow]
        fn $seen(way: Way) -> String {
            let ended = catch_unwind(AssertUnwindSafe(|| $step(way)));
            let downcast: fn(&$E) -> String = $downcast;
            saw(match ended {
                Ok(Ok(value)) => value.to_string(),
                Ok(Err(error)) => look(&error, &downcast(&error)),
                Err(panic) => format!("panic: {}", panic_message(&*panic)),
            })
        }
    };
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map_or("no text", String::as_str)
}

/// Runs to an interruption, then replays: what was seen then must be what is seen now, and is given back.
macro_rules! check {
    ($seen:ident, $way:expr) => {{
        let (engine, log, switches) = engine();
        switches.set("interrupt");
        $seen::durable("x", $way).on(&engine).run().unwrap_err();
        let live = log.take();
        switches.clear();
        let seen = $seen::durable("x", $way).on(&engine).run().unwrap();
        let saw = format!("saw {seen}");
        assert_eq!(live, ["step", saw.as_str()], "live");
        assert_eq!(log.lines(), [saw], "on replay, where the step does not run");
        assert_eq!(engine.steps("x").unwrap()[0].status, status($way));
        seen
    }};
}

fn status(way: Way) -> StepStatus {
    if way == Way::Succeed { StepStatus::Completed } else { StepStatus::Failed }
}

#[track_caller]
fn assert_starts(seen: &str, start: &str) {
    assert!(seen.starts_with(start), "{seen}\ndoes not start with\n{start}");
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum Declined {
    #[error("the card of {holder} was declined")]
    Card { holder: String, code: f64 },
    #[error("no money")]
    Money,
}

fn declined() -> Declined {
    Declined::Card { holder: "ada".into(), code: -0.0 }
}

seen!(see_serde, serde_error, Declined, declined(), |_| String::new());

#[test]
fn a_serde_error_comes_back_as_itself() {
    assert_eq!(check!(see_serde, Way::Succeed), "7");
    let text = "the card of ada was declined";
    let expected = format!(r#"{text} | {text} | Card {{ holder: "ada", code: -0.0 }} | "#);
    assert_eq!(check!(see_serde, Way::Fail), expected);
}

#[test]
fn a_panic_that_a_serde_error_cannot_hold_is_a_panic_again() {
    let seen = check!(see_serde, Way::Panic);
    assert_starts(
        &seen,
        "panic: step `serde_error_0` panicked: out of paper (in the step declared at tests/error_types.rs:",
    );
}

seen!(see_string, string_error, String, "no\npaper \"\0☃".into(), |_| String::new());

#[test]
fn a_text_is_a_serde_error() {
    let expected = "no\npaper \"\0☃ | no\npaper \"\0☃ | \"no\\npaper \\\"\\0☃\" | ";
    assert_eq!(check!(see_string, Way::Fail), expected);
    assert_starts(&check!(see_string, Way::Panic), "panic: step `string_error_0` panicked: out of paper");
}

fn chain() -> anyhow::Error {
    let low = Err::<(), _>(io::Error::new(io::ErrorKind::NotFound, "no file")).context("reading");
    low.context("printing").unwrap_err()
}

fn downcast_anyhow(error: &anyhow::Error) -> String {
    let failed = error.downcast_ref::<StepFailed>().map(|failed| (failed.kind(), failed.attempts() > 0));
    format!(
        "{:?} {:?} {}",
        error.downcast_ref::<io::Error>().map(io::Error::kind),
        failed,
        error.chain().count()
    )
}

seen!(see_anyhow, anyhow_error, anyhow::Error, chain(), downcast_anyhow);

#[test]
fn an_anyhow_error_keeps_the_text_of_its_chain() {
    assert_eq!(check!(see_anyhow, Way::Succeed), "7");
    let text = "printing: reading: no file";
    // Live too, what the workflow gets was rebuilt from the text: it cannot tell a first run from a replay.
    assert_eq!(
        check!(see_anyhow, Way::Fail),
        format!("{text} | {text} | {text} | None Some((Error, true)) 1")
    );
}

#[test]
fn a_panic_is_an_anyhow_error() {
    let seen = check!(see_anyhow, Way::Panic);
    assert_starts(
        &seen,
        "step `anyhow_error_0` panicked: out of paper (in the step declared at tests/error_types.rs:",
    );
    assert!(seen.ends_with("None Some((Panic, true)) 1"), "{seen}");
}

fn downcast_boxed(error: &BoxError) -> String {
    format!("{} {}", error.is::<io::Error>(), error.is::<StepFailed>())
}

seen!(see_boxed, boxed_error, BoxError, io::Error::other("no paper").into(), downcast_boxed);

#[test]
fn a_boxed_error_comes_back_as_its_text() {
    let seen = check!(see_boxed, Way::Fail);
    assert_starts(&seen, "no paper | no paper | StepFailed { kind: Error, step: \"boxed_error_0\"");
    assert!(seen.ends_with("| false true"), "{seen}");
    let seen = check!(see_boxed, Way::Panic);
    assert_starts(&seen, "step `boxed_error_0` panicked: out of paper");
    assert!(seen.ends_with("| false true"), "{seen}");
}

#[derive(Debug, thiserror::Error)]
enum Printing {
    #[error("no paper in tray {0}")]
    Paper(u32),
    #[error(transparent)]
    Step(#[from] StepFailed),
}

fn variant(error: &Printing) -> String {
    match error {
        Printing::Paper(tray) => format!("paper {tray}"),
        Printing::Step(failed) => format!("step {:?} {}", failed.kind(), failed.step()),
    }
}

seen!(see_enum, enum_error, Printing, Printing::Paper(2), variant);

#[test]
fn an_enum_with_a_place_for_failures_comes_back_in_it() {
    assert_eq!(check!(see_enum, Way::Succeed), "7");
    let seen = check!(see_enum, Way::Fail);
    assert_starts(&seen, "no paper in tray 2 | no paper in tray 2 | Step(StepFailed {");
    // Its own variant is not stored, so that the live workflow must not see it either.
    assert!(seen.ends_with("| step Error enum_error_0"), "{seen}");
    let seen = check!(see_enum, Way::Panic);
    assert!(seen.ends_with("| step Panic enum_error_0"), "{seen}");
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum Both {
    #[error("no paper in tray {0}")]
    Paper(u32),
    #[error(transparent)]
    Step(#[from] StepFailed),
}

fn variant_of_both(error: &Both) -> String {
    match error {
        Both::Paper(tray) => format!("paper {tray}"),
        Both::Step(failed) => format!("step {:?}", failed.kind()),
    }
}

seen!(see_both, both_error, Both, Both::Paper(2), variant_of_both);

#[test]
fn a_serde_enum_with_a_place_for_failures_keeps_its_variants_and_holds_panics() {
    assert!(check!(see_both, Way::Fail).ends_with("| paper 2"));
    let seen = check!(see_both, Way::Panic);
    assert_starts(&seen, "step `both_error_0` panicked: out of paper");
    assert!(seen.ends_with("| step Panic"), "{seen}");
}

fn kind_of_io(error: &io::Error) -> String {
    let inner = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<StepFailed>);
    format!("{:?} {:?} {inner}", error.kind(), error.raw_os_error())
}

seen!(see_io, io_error, io::Error, io::Error::from_raw_os_error(2), kind_of_io);

#[test]
fn an_io_error_comes_back_as_its_text() {
    let seen = check!(see_io, Way::Fail);
    assert_starts(&seen, "No such file or directory (os error 2) | ");
    assert!(seen.ends_with("| Other None true"), "{seen}");
    assert_starts(&check!(see_io, Way::Panic), "step `io_error_0` panicked: out of paper");
}

// Only the engine makes a `StepFailed`: a step can pass on the one of a step that it calls.
seen!(see_failed, failed_error, StepFailed, strict(), |failed| format!("{:?}", failed.kind()));

fn strict() -> StepFailed {
    #[step(strict)]
    fn nowhere() -> Result<u32, StepFailed> {
        Ok(1)
    }
    std::thread::spawn(nowhere).join().unwrap().unwrap_err()
}

#[test]
fn step_failed_itself_is_an_error_type() {
    assert_eq!(check!(see_failed, Way::Succeed), "7");
    let seen = check!(see_failed, Way::Fail);
    assert_starts(&seen, "step `nowhere` (tests/error_types.rs:");
    assert!(seen.ends_with("| Unowned"), "{seen}");
    let seen = check!(see_failed, Way::Panic);
    assert_starts(&seen, "step `failed_error_0` panicked: out of paper");
    assert!(seen.ends_with("| Panic"), "{seen}");
}

// Types without an error.

#[step]
fn value(way: Way) -> u32 {
    go(way, || ()).unwrap_or_default()
}

#[workflow]
fn see_value(way: Way) -> String {
    let ended = catch_unwind(AssertUnwindSafe(|| value(way)));
    saw(ended.map_or_else(|panic| format!("panic: {}", panic_message(&*panic)), |value| value.to_string()))
}

#[test]
fn a_panic_of_a_step_that_cannot_fail_is_a_panic_again() {
    assert_eq!(check!(see_value, Way::Succeed), "7");
    assert_starts(&check!(see_value, Way::Panic), "panic: step `value_0` panicked: out of paper");
}

#[step]
fn odd_panic() -> Result<u32, StepFailed> {
    std::panic::panic_any(7_u8)
}

#[workflow]
fn see_odd_panic() -> String {
    odd_panic().unwrap_err().message().to_owned()
}

#[test]
fn a_panic_without_a_text_is_a_failure_too() {
    let (engine, _, _) = engine();
    let seen = see_odd_panic::durable("x").on(&engine).run().unwrap();
    assert_starts(&seen, "Box<dyn Any> (in the step declared at");
}

// The same for futures.

#[step]
async fn anyhow_later(way: Way) -> anyhow::Result<u32> {
    smol::future::yield_now().await;
    go(way, chain)
}

#[step]
async fn serde_later(way: Way) -> Result<u32, Declined> {
    smol::future::yield_now().await;
    go(way, declined)
}

#[step]
async fn enum_later(way: Way) -> Result<u32, Printing> {
    smol::future::yield_now().await;
    go(way, || Printing::Paper(2))
}

/// What an error shows, or the value.
fn shown<E: Display + Debug>(ended: Result<u32, E>) -> String {
    ended.map_or_else(|error| look(&error, ""), |value| value.to_string())
}

#[workflow]
async fn see_later(way: Way) -> String {
    let anyhow = shown(anyhow_later(way).await);
    let printing = shown(enum_later(way).await);
    let declined = if way == Way::Panic { String::new() } else { shown(serde_later(way).await) };
    saw(format!("{anyhow}, {printing}, {declined}"))
}

#[test]
fn async_failures_look_the_same_live_and_on_replay() {
    for way in [Way::Succeed, Way::Fail, Way::Panic] {
        let (engine, log, switches) = engine();
        switches.set("interrupt");
        smol::block_on(see_later::durable("x", way).on(&engine).run()).unwrap_err();
        let live = log.take();
        switches.clear();
        let seen = smol::block_on(see_later::durable("x", way).on(&engine).run()).unwrap();
        let saw = format!("saw {seen}");
        assert_eq!(live.last(), Some(&saw));
        assert_eq!(log.lines(), [saw], "no step runs again");
    }
}

// A workflow's own error.

/// Declares a workflow that handles a step's failure, goes on and then gives up with an error of its own.
macro_rules! gives_up {
    ($name:ident, $E:ty, $error:expr) => {
        #[workflow]
        fn $name() -> Result<u32, $E> {
            let _handled = string_error(Way::Fail);
            after();
            Err($error)
        }
    };
}

gives_up!(gives_up_serde, Declined, declined());
gives_up!(gives_up_string, String, "enough".into());
gives_up!(gives_up_anyhow, anyhow::Error, chain());
gives_up!(gives_up_boxed, BoxError, io::Error::other("no paper").into());
gives_up!(gives_up_enum, Printing, Printing::Paper(3));
gives_up!(gives_up_both, Both, Both::Paper(4));
gives_up!(gives_up_io, io::Error, io::Error::from_raw_os_error(2));

#[test]
fn the_error_of_a_workflow_is_given_back_as_it_was_returned() {
    macro_rules! check {
        ($name:ident, $start:literal) => {{
            let (engine, log, _) = engine();
            let run =
                || $name::durable("x").on(&engine).run().unwrap_err().failed().map(|error| look(&error, ""));
            let live = run().unwrap();
            assert_starts(&live, $start);
            assert_eq!(run().unwrap(), live);
            assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Failed);
            assert_eq!(log.lines(), ["step"], "the failure was handled, so that nothing runs again");
        }};
    }
    check!(gives_up_serde, "the card of ada was declined | ");
    check!(gives_up_string, "enough | ");
    check!(gives_up_anyhow, "printing: reading: no file | ");
    check!(gives_up_boxed, "no paper | no paper | StepFailed");
    check!(gives_up_enum, "no paper in tray 3 | no paper in tray 3 | Step(StepFailed");
    check!(gives_up_both, "no paper in tray 4 | no paper in tray 4 | Paper(4)");
    check!(gives_up_io, "No such file or directory (os error 2) | ");
}

/// Passes a step's error through two functions of other error types.
#[workflow]
fn passing(way: Way) -> Result<u32, BoxError> {
    fn print(way: Way) -> anyhow::Result<u32> {
        Ok(enum_error(way).context("printing")? + 1)
    }
    Ok(print(way)?)
}

#[test]
fn an_escaped_error_keeps_its_text_through_other_error_types() {
    let (engine, log, _) = engine();
    let failed = passing::durable("x", Way::Fail).on(&engine).run().unwrap_err().failed().unwrap();
    assert_eq!(failed.to_string(), "printing");
    assert_eq!(keys(&engine, "x"), ["enum_error_0"]);
    passing::durable("x", Way::Fail).on(&engine).run().unwrap_err();
    assert_eq!(log.lines(), ["step", "step"], "the escaped failure runs again");
}

#[workflow]
fn panics_through(way: Way) -> Result<u32, Declined> {
    serde_error(way)
}

#[test]
fn an_escaped_panic_interrupts_the_run_and_names_step_and_place() {
    let (engine, _, _) = engine();
    let error = panics_through::durable("x", Way::Panic).on(&engine).run().unwrap_err();
    let RunError::Engine(Error::Panicked { message, .. }) = &error else { panic!("{error}") };
    assert_starts(
        message,
        "step `serde_error_0` panicked: out of paper (in the step declared at tests/error_types.rs:",
    );
    assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Running);
}

#[step(retries = 2)]
fn retried(way: Way) -> Result<u32, StepFailed> {
    go(way, || unreachable!())
}

#[workflow]
fn retrying(way: Way) -> String {
    let failed = retried(way).unwrap_err();
    saw(format!("{:?} {} {}", failed.kind(), failed.step(), failed.attempts()))
}

#[test]
fn a_failure_tells_kind_step_and_attempts_live_and_on_replay() {
    let clock = durable::TestClock::default();
    let (log, switches) = (Log::default(), Switches::default());
    let engine = support::builder(&log, &switches).clock(clock).in_memory().unwrap();
    switches.set("interrupt");
    retrying::durable("x", Way::Panic).on(&engine).run().unwrap_err();
    switches.clear();
    assert_eq!(retrying::durable("x", Way::Panic).on(&engine).run().unwrap(), "Panic retried_0 3");
    assert_eq!(log.lines(), ["step", "step", "step", "saw Panic retried_0 3", "saw Panic retried_0 3"]);
}
