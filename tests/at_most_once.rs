//! Steps with `at_most_once`: that they begin is recorded before they do, and whoever finds that record without an
//! outcome does not run them. Crashes are played by a store that is full from the n-th write on.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use durable::store::memory::MemoryStore;
use durable::store::{Answer, Kind, Op, OwnerId, RunStatus, StepReader, StepStatus, StepStore, StoreError};
use durable::{Engine, Error, FailureKind, Finding, RunError, StepFailed, TestClock, step, workflow};
use support::{Log, Switches, block_on, builder, keys};

/// How many writes the store still takes.
#[derive(Clone)]
struct Room(Arc<AtomicU32>);

impl Room {
    fn leave(&self, writes: u32) {
        self.0.store(writes, Ordering::SeqCst);
    }
}

/// A store that fills up.
struct Filling(MemoryStore, Room);

impl StepStore for Filling {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let writes = u32::try_from(ops.len()).unwrap();
        let taken =
            self.1.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(writes));
        if taken.is_err() {
            return Err(StoreError::Unavailable { action: "write".into(), reason: "disk full".into() });
        }
        self.0.apply(ops)
    }

    fn blocks(&self) -> bool {
        false
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.0.reader()
    }

    fn owner(&self) -> OwnerId {
        self.0.owner()
    }
}

struct Bench {
    engine: Engine,
    log: Log,
    switches: Switches,
    room: Room,
    gate: Gate,
}

fn bench() -> Bench {
    let (log, switches, room) = (Log::default(), Switches::default(), Room(Arc::default()));
    room.leave(u32::MAX);
    let store = Filling(MemoryStore::default(), room.clone());
    let gate = Gate::default();
    let builder = builder(&log, &switches).clock(TestClock::default()).with(gate.clone());
    let engine = builder.store(store).unwrap();
    Bench { engine, log, switches, room, gate }
}

/// Where a step waits until the test lets it go on.
#[derive(Default, Clone)]
struct Gate(Arc<(Mutex<Passing>, Condvar)>);

#[derive(Default)]
struct Passing {
    someone_waits: bool,
    is_open: bool,
}

impl Gate {
    fn pass(&self) {
        let mut passing = self.0.0.lock().unwrap();
        passing.someone_waits = true;
        self.0.1.notify_all();
        drop(self.0.1.wait_while(passing, |passing| !passing.is_open).unwrap());
    }

    fn wait_for_someone(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |passing| !passing.someone_waits).unwrap());
    }

    fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }
}

#[step(at_most_once)]
fn wire(to: &str) -> Result<u32, StepFailed> {
    Log::note(format!("wire {to}"));
    Ok(7)
}

#[step]
fn note(what: &str) -> u32 {
    Log::note(format!("note {what}"));
    1
}

#[workflow]
fn pay() -> Result<u32, StepFailed> {
    note("before");
    let wired = wire("ada")?;
    note("after");
    Ok(wired)
}

#[track_caller]
fn interrupted<T: std::fmt::Debug>(ended: Result<T, RunError<StepFailed>>) -> StepFailed {
    match ended {
        Err(RunError::Failed(failed)) if failed.is_interrupted() => failed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_outcome_takes_the_place_of_the_record_that_it_begins() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(6);
    assert_eq!(pay::durable("a").on(&engine).run().unwrap(), 7);
    assert_eq!(room.0.load(Ordering::SeqCst), 0, "a start, two steps, two writes of this one, and an end");
    assert_eq!(keys(&engine, "a"), ["note_0", "wire_1", "note_2"]);
    let wired = &engine.steps("a").unwrap()[1];
    assert_eq!((wired.kind, wired.status, wired.attempts), (Kind::Once, StepStatus::Completed, 1));
    assert_eq!(wired.output, "7");
    room.leave(u32::MAX);
    engine.rewind("a", "note_2").unwrap();
    assert_eq!(pay::durable("a").on(&engine).run().unwrap(), 7);
    assert_eq!(log.lines(), ["note before", "wire ada", "note after", "note after"]);
}

/// Fills the store at each write in turn, and goes on once there is room.
#[test]
fn a_crash_at_any_write_runs_it_at_most_once_and_says_so() {
    let mut all_results = Vec::new();
    for writes in 0..7 {
        let Bench { engine, log, room, .. } = bench();
        room.leave(writes);
        let first = pay::durable("a").on(&engine).run();
        let wired = log.count("wire ada");
        room.leave(u32::MAX);
        let second = pay::durable("a").on(&engine).run();
        assert!(log.count("wire ada") <= 1, "after {writes} writes: {:?}", log.lines());
        all_results.push((
            first.is_ok(),
            wired,
            second.map_err(|failed| failed.to_string().contains("interrupted")),
        ));
    }
    let ok = Ok(7);
    let expected = [
        (false, 0, ok),
        (false, 0, ok),
        // The write that says that it begins has failed.
        (false, 0, ok),
        // What it returned could not be written.
        (false, 1, Err(true)),
        (false, 1, ok),
        (false, 1, ok),
        (true, 1, ok),
    ];
    assert_eq!(all_results, expected);
}

#[test]
fn the_failure_says_what_is_not_known_and_what_to_do() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(3);
    pay::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    let failed = interrupted(pay::durable("a").on(&engine).run());
    assert_eq!((failed.kind(), failed.step(), failed.attempts()), (FailureKind::Interrupted, "wire_1", 0));
    let text = failed.to_string();
    assert!(text.starts_with("step `wire_1` was interrupted: it runs at most once and had begun"), "{text}");
    assert!(text.contains(r#"had begun in workflow "a","#), "{text}");
    assert!(
        text.contains(r#"`Engine::rewind(id, "wire_1")` has it run again, there or in a fork"#),
        "{text}"
    );
    assert!(text.contains("tests/at_most_once.rs:"), "{text}");
    let row = &engine.steps("a").unwrap()[1];
    assert_eq!((row.kind, row.status, row.attempts), (Kind::Once, StepStatus::Failed, 0));
    assert_eq!(log.count("wire ada"), 1);
}

#[test]
fn it_runs_again_after_a_rewind_alone() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(3);
    pay::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    for _ in 0..3 {
        interrupted(pay::durable("a").on(&engine).run());
        let _entered = engine.enter();
        interrupted(pay::resume("a"));
    }
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Failed);
    assert_eq!(log.count("wire ada"), 1);
    assert_eq!(engine.rewind("a", "wire_1").unwrap(), 1);
    assert_eq!(pay::durable("a").on(&engine).run().unwrap(), 7);
    assert_eq!(log.lines(), ["note before", "wire ada", "wire ada", "note after"]);
}

/// A run that is asked to be tried again, and has nothing to try, ends again: it stays due otherwise, and those who
/// wait for it do so for ever.
#[test]
fn a_retry_in_the_background_ends_as_before() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(3);
    pay::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    let handle = pay::durable("a").on(&engine).start().unwrap();
    interrupted(handle.wait());
    handle.retry().unwrap();
    interrupted(handle.wait());
    assert_eq!(engine.run("a").unwrap().unwrap().wake_at, None);
    assert_eq!(log.count("wire ada"), 1);
}

#[workflow]
fn pay_or_ask() -> u32 {
    let wired = wire("ada");
    match wired {
        Ok(wired) => wired,
        Err(failed) if failed.is_interrupted() => 10 * note("ask the bank"),
        Err(_) => 0,
    }
}

#[test]
fn an_interruption_that_is_handled_replays_as_it_was() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(2);
    pay_or_ask::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    assert_eq!(pay_or_ask::durable("a").on(&engine).run().unwrap(), 10);
    engine.rewind("a", "note_1").unwrap();
    assert_eq!(pay_or_ask::durable("a").on(&engine).run().unwrap(), 10);
    assert_eq!(log.lines(), ["wire ada", "note ask the bank", "note ask the bank"]);
}

#[step]
fn tell(what: &str) -> u32 {
    Log::note(what);
    1
}

#[workflow]
fn pay_or_tell() -> u32 {
    wire("ada").unwrap_or_else(|failed| tell(&failed.to_string()) + note("told"))
}

/// Bug: the failure that a fork has copied named the original as the run to rewind. What was told of it later has the
/// text in its arguments, so it stays as it is, and says where the step had begun.
#[test]
fn an_interruption_in_a_fork_says_in_which_run_the_step_had_begun() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(2);
    pay_or_tell::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    assert_eq!(pay_or_tell::durable("a").on(&engine).run().unwrap(), 2);
    for (from, told) in [("tell_1", 1), ("note_2", 0)] {
        log.take();
        engine.fork("a", from, "b").unwrap();
        assert_eq!(pay_or_tell::durable("b").on(&engine).run().unwrap(), 2);
        let texts: Vec<_> = log.take().into_iter().filter(|line| line.contains("wire_0")).collect();
        assert_eq!(texts.len(), told, "{texts:?}");
        let names_the_run =
            |text: &String| text.contains(r#"begun in workflow "a""#) && text.contains("rewind(id, ");
        assert!(texts.iter().all(names_the_run), "{texts:?}");
        engine.reset("b").unwrap();
    }
    engine.fork("a", "tell_1", "b").unwrap();
    assert_eq!(engine.rewind("b", "wire_0").unwrap(), 1);
    assert_eq!(pay_or_tell::durable("b").on(&engine).run().unwrap(), 7);
}

#[step(at_most_once)]
fn refuse() -> Result<u32, String> {
    Log::note("refuse");
    assert!(!Switches::is_set("panic"), "on the way");
    if Switches::is_set("decline") { Err("declined".into()) } else { Ok(1) }
}

#[workflow]
fn refused() -> Result<u32, String> {
    refuse()
}

/// An error that the body returned is its outcome, and whoever returned it may have done something before.
#[test]
fn an_error_of_its_own_is_kept_when_the_failed_run_is_called_again() {
    let Bench { engine, log, switches, .. } = bench();
    switches.set("decline");
    for _ in 0..2 {
        let ended = refused::durable("a").on(&engine).run();
        assert!(matches!(&ended, Err(RunError::Failed(error)) if error == "declined"), "{ended:?}");
        switches.clear();
    }
    assert_eq!(log.count("refuse"), 1);
    engine.rewind("a", "refuse_0").unwrap();
    assert_eq!(refused::durable("a").on(&engine).run().unwrap(), 1);
}

#[step(at_most_once)]
fn wire_plainly() -> u32 {
    Log::note("wire");
    assert!(!Switches::is_set("panic"), "on the way");
    7
}

#[workflow]
fn pay_plainly() -> u32 {
    Log::note("pay");
    wire_plainly() + note("after")
}

/// What the run was halted by.
#[track_caller]
fn failed_for_good<T: std::fmt::Debug, E: std::fmt::Debug>(ended: Result<T, RunError<E>>) -> StepFailed {
    match ended {
        Err(RunError::Engine(Error::FailedForGood { workflow, failed })) if workflow.as_str() == "a" => {
            *failed
        }
        other => panic!("{other:?}"),
    }
}

/// Leaves a run of `pay_plainly` whose step had begun.
fn interrupted_plainly() -> Bench {
    let bench = bench();
    bench.room.leave(2);
    pay_plainly::durable("a").on(&bench.engine).run().unwrap_err();
    bench.room.leave(u32::MAX);
    assert_eq!(bench.log.take(), ["pay", "wire"]);
    bench
}

/// Bug: a run whose interrupted step returned a plain value was taken up 50 times, and panicked each time. Cause: the
/// panic of such a step was taken for one of the body, which may not come again. Fix: what its body panicked with is
/// compared with what its steps do.
#[test]
fn where_its_type_holds_no_failure_the_run_is_halted_when_it_is_first_taken_up() {
    let Bench { engine, log, .. } = interrupted_plainly();
    let handle = pay_plainly::durable("a").on(&engine).start().unwrap();
    let Err(RunError::Engine(Error::Halted { fault, .. })) = handle.wait() else { panic!() };
    assert!(
        fault.starts_with("step `wire_plainly_0` of workflow \"a\" runs at most once and failed"),
        "{fault}"
    );
    let run = engine.run("a").unwrap().unwrap();
    assert_eq!((run.status, run.recoveries, run.wake_at), (RunStatus::Halted, 0, None));
    assert_eq!(log.lines(), ["pay"]);
}

/// Bug: a check said that such a run goes on with the step, which never runs again.
#[test]
fn a_check_says_that_such_a_run_stops() {
    let Bench { engine, .. } = interrupted_plainly();
    let checked = engine.check().unwrap().remove(0);
    let Finding::Stops(Error::FailedForGood { failed, .. }) = &checked.finding else { panic!("{checked}") };
    assert!(failed.is_interrupted(), "{failed}");
}

#[test]
fn a_run_that_it_halted_says_why_each_time_it_is_called() {
    let Bench { engine, log, .. } = interrupted_plainly();
    for _ in 0..2 {
        let ended = pay_plainly::durable("a").on(&engine).run();
        let text = format!("{:?}", ended.as_ref().unwrap_err());
        assert!(text.contains(r#"`Engine::rewind("a", "wire_plainly_0")`"#), "{text}");
        let failed = failed_for_good(ended);
        assert_eq!((failed.is_interrupted(), failed.step()), (true, "wire_plainly_0"));
    }
    assert_eq!(log.count("wire"), 0);
    engine.fork_with("a", "wire_plainly_0", "by hand", "wire_plainly_0", "9").unwrap();
    assert_eq!(pay_plainly::durable("by hand").on(&engine).run().unwrap(), 10);
    assert_eq!(log.count("wire"), 0);
    engine.fork("a", "wire_plainly_0", "b").unwrap();
    assert_eq!(pay_plainly::durable("b").on(&engine).run().unwrap(), 8);
    assert_eq!(engine.rewind("a", "wire_plainly_0").unwrap(), 1);
    assert_eq!(pay_plainly::durable("a").on(&engine).run().unwrap(), 8);
    assert_eq!(log.count("wire"), 2);
}

#[test]
fn an_error_type_that_holds_no_failure_of_a_step_is_no_better_than_a_plain_type() {
    let Bench { engine, log, room, .. } = bench();
    room.leave(2);
    refused::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    for _ in 0..2 {
        assert_eq!(failed_for_good(refused::durable("a").on(&engine).run()).step(), "refuse_0");
    }
    assert_eq!(log.count("refuse"), 1);
}

#[test]
fn a_panic_in_it_is_its_outcome() {
    let Bench { engine, log, switches, .. } = bench();
    switches.set("panic");
    for _ in 0..2 {
        let failed = failed_for_good(pay_plainly::durable("a").on(&engine).run());
        assert_eq!((failed.kind(), failed.attempts()), (FailureKind::Panic, 1));
        assert!(failed.message().starts_with("on the way"), "{failed}");
        assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
        switches.clear();
    }
    assert_eq!(log.lines(), ["pay", "wire", "pay"]);
}

#[workflow]
fn pay_and_catch() -> u32 {
    let wired = catch_unwind(AssertUnwindSafe(wire_plainly));
    let after = note("after");
    assert!(!Switches::is_set("own panic"), "of its own");
    wired.unwrap_or(0) + after
}

#[test]
fn a_body_that_catches_the_panic_goes_on_and_what_else_it_panics_with_is_its_own() {
    let Bench { engine, room, switches, .. } = bench();
    room.leave(2);
    pay_and_catch::durable("a").on(&engine).run().unwrap_err();
    room.leave(u32::MAX);
    switches.set("own panic");
    let ended = pay_and_catch::durable("a").on(&engine).run();
    assert!(matches!(ended, Err(RunError::Engine(Error::Panicked { .. }))), "{ended:?}");
    switches.clear();
    assert_eq!(pay_and_catch::durable("a").on(&engine).run().unwrap(), 1);
}

#[step(at_most_once)]
async fn wire_plainly_async() -> u32 {
    Log::note("wire");
    assert!(!Switches::is_set("panic"), "on the way");
    7
}

#[workflow]
async fn pay_plainly_async() -> u32 {
    let (wired, noted) = durable::join!(wire_plainly_async(), async { note("beside") });
    wired + noted
}

#[test]
fn a_run_of_futures_is_halted_likewise() {
    let Bench { engine, log, room, switches, .. } = bench();
    room.leave(2);
    block_on(pay_plainly_async::durable("a").on(&engine).run()).unwrap_err();
    room.leave(u32::MAX);
    for _ in 0..2 {
        let failed = failed_for_good(block_on(pay_plainly_async::durable("a").on(&engine).run()));
        assert_eq!(failed.step(), "wire_plainly_async_0.0.0");
    }
    assert_eq!(log.take(), ["wire", "note beside"]);
    switches.set("panic");
    engine.reset("a").unwrap();
    let failed = failed_for_good(block_on(pay_plainly_async::durable("a").on(&engine).run()));
    assert_eq!((failed.kind(), log.count("wire")), (FailureKind::Panic, 1));
}

#[workflow]
fn pay_through_a_run_of_its_own() -> u32 {
    pay_plainly::run_durable("a").unwrap()
}

#[test]
fn a_run_that_calls_for_one_is_halted_with_it() {
    let Bench { engine, .. } = interrupted_plainly();
    failed_for_good(pay_through_a_run_of_its_own::durable("parent").on(&engine).run());
    assert_eq!(engine.run("parent").unwrap().unwrap().status, RunStatus::Halted);
    engine.rewind("a", "wire_plainly_0").unwrap();
    assert_eq!(pay_through_a_run_of_its_own::durable("parent").on(&engine).run().unwrap(), 8);
}

#[step(at_most_once)]
fn unstorable() -> Result<f64, StepFailed> {
    Log::note("unstorable");
    Ok(f64::NAN)
}

#[workflow]
fn storing() -> Result<f64, StepFailed> {
    unstorable()
}

#[test]
fn a_result_that_cannot_be_stored_does_not_run_it_again() {
    let Bench { engine, log, .. } = bench();
    let ended = storing::durable("a").on(&engine).run();
    assert!(matches!(ended, Err(RunError::Engine(Error::Unstorable { .. }))), "{ended:?}");
    interrupted(storing::durable("a").on(&engine).run());
    assert_eq!(log.count("unstorable"), 1);
}

#[step(at_most_once)]
fn wire_slowly() -> Result<u32, StepFailed> {
    durable::resource::<Gate>().pass();
    Log::note("wired");
    assert!(!Switches::is_set("panic"), "on the way");
    Ok(7)
}

#[workflow]
fn pay_slowly() -> Result<u32, StepFailed> {
    let wired = wire_slowly()?;
    Ok(wired + note("after"))
}

/// Asks something of the run while its step runs, and lets that end; how the call ended.
fn asked(bench: &Bench, ask: impl FnOnce(&Engine)) -> Error {
    let ended = std::thread::scope(|threads| {
        let run = threads.spawn(|| pay_slowly::durable("a").on(&bench.engine).run());
        bench.gate.wait_for_someone();
        ask(&bench.engine);
        bench.gate.open();
        run.join().unwrap()
    });
    match ended {
        Err(RunError::Engine(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_it_returned_is_recorded_although_the_run_was_cancelled_or_paused_meanwhile() {
    for pauses in [true, false] {
        let bench = bench();
        let error =
            asked(&bench, |engine| if pauses { engine.pause("a") } else { engine.cancel("a") }.unwrap());
        assert!(matches!(error, Error::Paused { .. } | Error::Cancelled { .. }), "{error}");
        let step = &bench.engine.steps("a").unwrap()[0];
        assert_eq!((step.status, step.output.as_str(), step.attempts), (StepStatus::Completed, "7", 1));
        let _entered = bench.engine.enter();
        assert_eq!(pay_slowly::resume("a").unwrap(), 8);
        assert_eq!(bench.log.lines(), ["wired", "note after"]);
    }
}

#[test]
fn its_panic_is_recorded_although_the_run_was_cancelled_meanwhile() {
    let bench = bench();
    bench.switches.set("panic");
    asked(&bench, |engine| engine.cancel("a").unwrap());
    let step = &bench.engine.steps("a").unwrap()[0];
    assert_eq!((step.status, step.attempts), (StepStatus::Failed, 1));
    assert!(step.output.contains("on the way"), "{}", step.output);
}

#[test]
fn while_it_runs_a_history_says_that_it_has_begun() {
    let bench = bench();
    let mut seen = None;
    asked(&bench, |engine| {
        let history: Vec<_> = engine.history("a").unwrap().map(Result::unwrap).collect();
        seen = Some((history, engine.steps("a").unwrap(), engine.check().unwrap()));
        bench.room.leave(0);
    });
    let (history, steps, checked) = seen.unwrap();
    let begun = &history[0];
    assert_eq!((begun.status, begun.output.as_str(), begun.attempts), (StepStatus::Begun, "null", 0));
    assert_eq!(history, steps);
    assert_eq!(checked[0].to_string(), "\"a\" of `pay_slowly`: goes on with wire_slowly_0");
    // Nobody executes it any more, and how it ended was never recorded.
    bench.room.leave(u32::MAX);
    let interrupted = &bench.engine.steps("a").unwrap()[0];
    assert_eq!((interrupted.status, interrupted.attempts), (StepStatus::Failed, 0));
    assert!(interrupted.output.contains("interrupted"), "{}", interrupted.output);
    assert!(bench.engine.check().unwrap()[0].to_string().ends_with("comes to its end"));
}

/// What no engine gave: asking for it is a fault.
struct Missing;

#[step(at_most_once)]
fn wire_what_is_missing() -> Result<u32, StepFailed> {
    Log::note("wire");
    durable::resource::<Missing>();
    Ok(1)
}

#[workflow]
fn pay_what_is_missing() -> Result<u32, StepFailed> {
    wire_what_is_missing()
}

#[test]
fn a_fault_in_it_is_no_outcome_and_leaves_it_interrupted() {
    let Bench { engine, log, .. } = bench();
    let ended = pay_what_is_missing::durable("a").on(&engine).run();
    assert!(matches!(ended, Err(RunError::Engine(Error::MissingResource { .. }))), "{ended:?}");
    interrupted(pay_what_is_missing::durable("a").on(&engine).run());
    assert_eq!(log.count("wire"), 1);
}

#[step(at_most_once)]
async fn wire_async(to: &str) -> Result<u32, StepFailed> {
    Log::note(format!("wire {to}"));
    if Switches::is_set("hang") {
        std::future::pending::<()>().await;
    }
    Ok(7)
}

#[workflow]
async fn pay_async() -> Result<u32, StepFailed> {
    let wired = wire_async("ada").await?;
    Ok(wired + note("after"))
}

#[test]
fn a_crash_at_any_write_runs_an_async_one_at_most_once_and_says_so() {
    let mut results = Vec::new();
    for writes in 0..6 {
        let Bench { engine, log, room, .. } = bench();
        room.leave(writes);
        _ = block_on(pay_async::durable("a").on(&engine).run());
        room.leave(u32::MAX);
        let second = block_on(pay_async::durable("a").on(&engine).run());
        assert!(log.count("wire ada") <= 1, "after {writes} writes: {:?}", log.lines());
        results.push(second.map_err(|failed| failed.to_string().contains("interrupted")));
    }
    assert_eq!(results, [Ok(8), Ok(8), Err(true), Ok(8), Ok(8), Ok(8)]);
}

#[test]
fn an_async_one_that_is_dropped_after_it_began_was_interrupted() {
    let Bench { engine, log, switches, .. } = bench();
    switches.set("hang");
    let mut run = Box::pin(pay_async::durable("a").on(&engine).run());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while log.lines().is_empty() {
        assert!(run.as_mut().poll(&mut cx).is_pending());
    }
    drop(run);
    switches.clear();
    interrupted(block_on(pay_async::durable("a").on(&engine).run()));
    assert_eq!(log.lines(), ["wire ada"]);
}

#[test]
fn an_async_one_whose_run_is_cancelled_was_interrupted() {
    let Bench { engine, log, switches, .. } = bench();
    switches.set("hang");
    let mut run = Box::pin(pay_async::durable("a").on(&engine).run());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while log.lines().is_empty() {
        assert!(run.as_mut().poll(&mut cx).is_pending());
    }
    engine.cancel("a").unwrap();
    let ended = block_on(run);
    assert!(matches!(ended, Err(RunError::Engine(Error::Cancelled { .. }))), "{ended:?}");
    switches.clear();
    let _entered = engine.enter();
    interrupted(block_on(pay_async::resume("a")));
    assert_eq!(log.lines(), ["wire ada"]);
}

#[step(at_most_once, timeout = "1s")]
async fn wire_in_time() -> Result<u32, StepFailed> {
    Log::note("wire");
    std::future::pending().await
}

#[workflow]
async fn pay_in_time() -> Result<u32, StepFailed> {
    wire_in_time().await
}

#[test]
fn a_timeout_is_its_outcome_and_does_not_run_it_again() {
    let (log, switches) = (Log::default(), Switches::default());
    let engine = builder(&log, &switches).clock(TestClock::default()).in_memory().unwrap();
    for _ in 0..2 {
        let ended = block_on(pay_in_time::durable("a").on(&engine).run());
        let Err(RunError::Failed(failed)) = ended else { panic!("{ended:?}") };
        assert_eq!(failed.kind(), FailureKind::Timeout);
    }
    assert_eq!(log.count("wire"), 1);
}

#[workflow]
fn pay_one(to: String) -> Result<u32, StepFailed> {
    wire(&to)
}

/// Four of them, in branches of three constructs.
#[workflow]
fn pay_all() -> Vec<bool> {
    let (a, b) = durable::join(|| wire("join0"), || pay_one("join1".into()));
    let mapped = durable::map(["map0", "map1"], 1, wire);
    [a, b].into_iter().chain(mapped).map(|wired| wired.is_ok()).collect()
}

#[test]
fn in_branches_and_children_too_each_runs_at_most_once() {
    for writes in 0..20 {
        let Bench { engine, log, room, .. } = bench();
        room.leave(writes);
        _ = pay_all::durable("a").on(&engine).run();
        room.leave(u32::MAX);
        let paid = pay_all::durable("a").on(&engine).run().unwrap();
        let interrupted = engine.steps("a").unwrap().into_iter().filter(|step| step.attempts == 0).count();
        let effects = ["join0", "join1", "map0", "map1"].map(|to| log.count(&format!("wire {to}")));
        assert!(effects.iter().all(|count| *count <= 1), "after {writes} writes: {effects:?}");
        assert_eq!(paid.iter().filter(|paid| !**paid).count(), interrupted);
        // What did not take effect is not said to be paid.
        let unpaid = effects.iter().filter(|count| **count == 0).count();
        assert!(unpaid <= interrupted, "after {writes} writes: {effects:?}, {paid:?}");
    }
}

#[step(name = "wire")]
fn wire_as_before(to: &str) -> Result<u32, StepFailed> {
    Log::note(format!("wire {to} as before"));
    Ok(7)
}

#[workflow]
fn pay_in_two_versions() -> Result<u32, StepFailed> {
    let wired = if Switches::is_set("new") { wire("ada") } else { wire_as_before("ada") }?;
    Ok(wired + note("after"))
}

#[test]
fn a_step_may_come_to_run_at_most_once_and_cease_to() {
    for new_first in [true, false] {
        let Bench { engine, log, switches, .. } = bench();
        let set = |new: bool| {
            switches.clear();
            if new {
                switches.set("new");
            }
        };
        set(new_first);
        pay_in_two_versions::durable("a").on(&engine).run().unwrap();
        engine.rewind("a", "note_1").unwrap();
        set(!new_first);
        assert_eq!(pay_in_two_versions::durable("a").on(&engine).run().unwrap(), 8);
        assert_eq!(log.lines().len(), 3);
    }
}

#[test]
fn outside_a_run_it_is_a_plain_call() {
    assert_eq!(unlogged(), Ok(1));
}

#[step(at_most_once)]
fn unlogged() -> Result<u32, StepFailed> {
    Ok(1)
}
