//! What is recorded of a run can be read as a whole or page by page, whatever became of it, and a damaged row
//! hides no other.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/store.rs"]
mod asks;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asks::Asks;
use durable::store::memory::MemoryStore;
use durable::store::{Kind, StepRecord, StepStatus, StoreError};
use durable::{Engine, Error, Position, RunStatus, TestClock, step, workflow};
use support::{Log, Switches, builder, keys};

#[step(retries = 2)]
fn work(name: &str) -> Result<String, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[workflow]
fn child() -> String {
    work("inner").unwrap()
}

#[workflow]
fn mixed() -> Result<String, String> {
    let first = work("first")?;
    let (left, _) = durable::join(|| work("left"), child);
    durable::sleep(std::time::Duration::from_secs(1));
    let own = child::run_durable("child-of-mixed").unwrap();
    Ok(first + &left? + &own + &work("last")?)
}

#[workflow]
fn counts(steps: u32) -> u32 {
    (0..steps).map(number).sum()
}

#[step]
fn number(n: u32) -> u32 {
    n
}

/// Engines on both stores; the folder of the file is kept as long as its engine.
fn each_store(check: impl Fn(&Engine, &Log, &Switches)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let (log, switches) = (Log::default(), Switches::default());
        let builder = builder(&log, &switches).clock(TestClock::default());
        let engine =
            path.map_or_else(|| builder.in_memory().unwrap(), |path| open_at(&log, &switches, &path));
        check(&engine, &log, &switches);
    }
}

fn open_at(log: &Log, switches: &Switches, path: &Path) -> Engine {
    builder(log, switches).clock(TestClock::default()).open(path).unwrap()
}

fn all(engine: &Engine, id: &str) -> Vec<StepRecord> {
    engine.history(id).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_history_has_every_operation_in_order_and_the_row_of_the_run() {
    each_store(|engine, _, switches| {
        switches.set("last");
        mixed::durable("a").on(engine).run().unwrap_err();
        let history = engine.history("a").unwrap();
        let run = history.run().unwrap().clone();
        assert_eq!((run.name.as_str(), run.status), ("mixed", RunStatus::Failed));
        assert_eq!((run.owner, run.parent, run.recoveries), (None, None, 0));
        let steps: Vec<_> = history.map(Result::unwrap).collect();
        let told: Vec<_> = steps.iter().map(|step| (step.key().to_string(), step.kind)).collect();
        let key = |key: &str, kind| (key.to_owned(), kind);
        assert_eq!(
            told,
            [
                key("work_0", Kind::Step),
                key("work_1.0.0", Kind::Step),
                key("child_1.1.0", Kind::Child),
                key("work_1.1.0.0.0", Kind::Step),
                key("sleep_2", Kind::Sleep),
                key("child_3", Kind::Workflow),
                key("work_4", Kind::Step),
            ]
        );
        let (first, last) = (&steps[0], &steps[6]);
        assert_eq!(
            (first.status, first.output.as_str(), first.attempts),
            (StepStatus::Completed, "\"FIRST\"", 1)
        );
        assert_eq!(
            (last.status, last.output.as_str(), last.attempts),
            (StepStatus::Failed, "\"last failed\"", 3)
        );
        assert!(last.site.starts_with("tests/history.rs:"), "{}", last.site);
        assert!(first.started <= first.timestamp && first.timestamp < last.started, "the sleep lies between");
        assert_eq!((first.scope.as_deref(), steps[1].scope.as_deref()), (None, Some("join")));
        assert!(steps.iter().all(|step| step.epoch == run.epoch && step.build == first.build));
        let child = engine.history("child-of-mixed").unwrap();
        assert_eq!(child.run().unwrap().parent.as_ref().unwrap().as_str(), "a");
        assert_eq!(steps, engine.steps("a").unwrap());
    });
}

#[test]
fn a_history_goes_on_after_any_position() {
    each_store(|engine, _, _| {
        mixed::durable("a").on(engine).run().unwrap();
        let steps = all(engine, "a");
        for (i, step) in steps.iter().enumerate() {
            let rest = engine.history("a").unwrap().after(step.position.clone());
            assert_eq!(rest.map(Result::unwrap).collect::<Vec<_>>(), steps[i + 1..]);
        }
        // Also after one that is not there, and once some of it was read already.
        let mut history = engine.history("a").unwrap();
        history.next().unwrap().unwrap();
        let rest = history.after(Position::new([1, 0, 7]).unwrap());
        assert_eq!(rest.map(|step| step.unwrap().key().to_string()).next().unwrap(), "child_1.1.0");
    });
}

#[test]
fn a_run_that_nobody_knows_has_no_history() {
    each_store(|engine, _, _| {
        let unknown = engine.history("a").map(drop).unwrap_err();
        assert!(matches!(unknown, Error::UnknownRun { workflow } if workflow.as_str() == "a"));
        assert!(matches!(engine.history("").map(drop), Err(Error::InvalidId(_))));
    });
}

#[test]
fn a_history_of_a_run_without_steps_is_empty() {
    each_store(|engine, _, _| {
        counts::durable("a", 0).on(engine).run().unwrap();
        let mut history = engine.history("a").unwrap();
        assert_eq!(history.run().unwrap().status, RunStatus::Completed);
        assert!(history.next().is_none() && history.next().is_none());
    });
}

#[test]
fn a_long_history_is_read_in_pages_and_no_further_than_it_is_asked_for() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let count = move |call| {
        counted.fetch_add(usize::from(call == "inspect"), Ordering::SeqCst);
        Ok(())
    };
    let engine = Engine::builder().store(Asks(MemoryStore::default(), Arc::new(count))).unwrap();
    counts::durable("a", 1_000).on(&engine).run().unwrap();
    assert_eq!(engine.history("a").unwrap().take(256).count(), 256);
    assert_eq!(reads.swap(0, Ordering::SeqCst), 1);
    assert_eq!(all(&engine, "a"), engine.steps("a").unwrap());
    assert_eq!(reads.load(Ordering::SeqCst), 5, "four pages, and the look that finds no other");
}

#[test]
fn a_store_that_fails_ends_a_history_with_its_error() {
    let fails = |call| match call {
        "inspect" => {
            Err(StoreError::Unavailable { action: call.into(), reason: "a test wants it so".into() })
        }
        _ => Ok(()),
    };
    let engine = Engine::builder().store(Asks(MemoryStore::default(), Arc::new(fails))).unwrap();
    counts::durable("a", 3).on(&engine).run().unwrap();
    let mut history = engine.history("a").unwrap();
    assert!(matches!(history.next().unwrap().unwrap_err(), Error::Store { .. }));
    assert!(history.next().is_none());
}

/// Another program that has the database of the engine open.
fn with_rows(steps: u32) -> (tempfile::TempDir, Engine, rusqlite::Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let engine = Engine::open(&path).unwrap();
    counts::durable("a", steps).on(&engine).run().unwrap();
    (folder, engine, rusqlite::Connection::open(path).unwrap())
}

/// The keys that can be read, and the reasons of those that cannot, in order.
fn told(engine: &Engine) -> Vec<String> {
    let tell = |row: Result<StepRecord, Error>| match row {
        Ok(step) => step.key().to_string(),
        Err(Error::Store { source, .. }) => match &*source {
            StoreError::Corrupt(row) => format!("damaged: {} {}", row.table, row.key),
            other => other.to_string(),
        },
        Err(other) => other.to_string(),
    };
    engine.history("a").unwrap().map(tell).collect()
}

#[test]
fn a_damaged_row_is_told_in_its_place_and_hides_no_other() {
    let (_folder, engine, rows) = with_rows(4);
    rows.execute("update steps set output = '9' where step_key in ('number_1', 'number_3')", []).unwrap();
    assert_eq!(
        told(&engine),
        ["number_0", "damaged: steps a, number_1", "number_2", "damaged: steps a, number_3"]
    );
    assert!(engine.steps("a").is_err(), "a list of all that can be read is refused");
    rows.execute(
        "update steps set position = x'0000000200000001', checksum = null where step_key = 'number_2'",
        [],
    )
    .unwrap();
    assert_eq!(
        told(&engine),
        [
            "number_0",
            "damaged: steps a, number_1",
            "damaged: steps a, number_2",
            "damaged: steps a, number_3"
        ]
    );
}

#[test]
fn a_row_whose_position_is_none_is_told_too() {
    let (_folder, engine, rows) = with_rows(2);
    rows.execute("update steps set position = '1' where step_key = 'number_1'", []).unwrap();
    assert_eq!(told(&engine), ["damaged: steps a, number_1", "number_0"]);
    rows.execute("update steps set position = 1 where step_key = 'number_1'", []).unwrap();
    assert_eq!(told(&engine), ["damaged: steps a, number_1", "number_0"]);
    // Bug: such a row was passed over, so the step of the run would have run again. Cause: a history was read from
    // after the empty position, which every number and every text comes before. Fix: it is read from the very first.
    rows.execute("update workflows set status = 'RUNNING', output = null, checksum = null", []).unwrap();
    let halted = counts::durable("a", 2).on(&engine).run().unwrap_err();
    assert!(halted.to_string().contains("the row \"a, number_1\" of table steps cannot be read"), "{halted}");
}

#[test]
fn damaged_rows_at_the_end_of_a_page_are_told_once() {
    let (_folder, engine, rows) = with_rows(600);
    let damage = "update steps set checksum = 1 where step_key in ('number_255', 'number_256', 'number_599')";
    rows.execute(damage, []).unwrap();
    let told = told(&engine);
    assert_eq!(told.len(), 600);
    for (i, told) in told.iter().enumerate() {
        let is_damaged = matches!(i, 255 | 256 | 599);
        assert_eq!(
            *told,
            if is_damaged { format!("damaged: steps a, number_{i}") } else { format!("number_{i}") }
        );
    }
}

#[test]
fn the_history_of_a_run_whose_own_row_is_damaged_is_read_all_the_same() {
    let (_folder, engine, rows) = with_rows(2);
    rows.execute("update workflows set output = '7'", []).unwrap();
    let history = engine.history("a").unwrap();
    let Err(Error::Store { source, .. }) = history.run() else { unreachable!("the row is damaged") };
    assert!(source.to_string().contains("the row \"a\" of table workflows cannot be read"), "{source}");
    assert_eq!(history.count(), 2);
    assert_eq!(keys(&engine, "a"), ["number_0", "number_1"]);
}
