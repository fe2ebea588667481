//! A history whose outputs have no room in memory is replayed all the same: they are read again in windows, by
//! whichever thread comes to them. What is missing, left over or damaged shows as it does with all in memory.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use durable::store::{RunStatus, StoreError};
use durable::{Difference, Durability, Engine, Error, RunError, step, workflow};
use support::{Log, Switches};

#[step]
fn value(number: u32) -> String {
    Log::note("value");
    format!("value {number}")
}

#[step]
fn refused(number: u32) -> Result<u32, String> {
    Log::note("refused");
    Err(format!("{number} is refused"))
}

#[workflow]
fn child(number: u32) -> String {
    value(number) + &value(number + 1)
}

fn branch(number: u32) -> String {
    let own = value(number) + &value(number);
    if number.is_multiple_of(50) { own + &child(number) } else { own }
}

/// Every kind of operation, some 2,000 rows of them; it is stopped at its end.
#[workflow]
fn everything() -> usize {
    let mut all: Vec<String> = (0..300).map(value).collect();
    durable::sleep(Duration::ZERO);
    all.extend(durable::map(0..500, 8, branch));
    let (a, b) =
        durable::join(|| (0..200).map(child).collect::<String>(), || (0..200).map(value).collect::<String>());
    all.extend([a, b]);
    all.extend(durable::scope(|s| {
        (0..20).map(|i| s.spawn(move || branch(i))).map(durable::Branch::join).collect::<Vec<_>>()
    }));
    all.push(refused(7).unwrap_err());
    all.push(child::run_durable("own", 7).unwrap());
    assert!(!Switches::is_set("stop"), "stopped");
    all.iter().map(String::len).sum()
}

fn interrupt(engine: &Engine, switches: &Switches) {
    switches.set("stop");
    assert!(matches!(
        everything::durable("a").on(engine).run(),
        Err(RunError::Engine(Error::Panicked { .. }))
    ));
    switches.clear();
}

#[track_caller]
fn check_replay(engine: &Engine, log: &Log, switches: &Switches) -> usize {
    interrupt(engine, switches);
    let ran = log.lines().len();
    interrupt(engine, switches);
    let result = everything::durable("a").on(engine).run().unwrap();
    assert_eq!(log.lines().len(), ran, "nothing ran again");
    result
}

#[test]
fn threads_replay_what_has_no_room_in_memory() {
    let mut results = Vec::new();
    for room in [0, 10_000, durable::HISTORY_BYTES_MAX] {
        let (log, switches) = (Log::default(), Switches::default());
        let builder =
            || support::builder(&log, &switches).durability(Durability::Off).history_bytes_max(room);
        results.push(check_replay(&builder().in_memory().unwrap(), &log, &switches));
        let folder = tempfile::tempdir().unwrap();
        results.push(check_replay(&builder().open(folder.path().join("runs.db")).unwrap(), &log, &switches));
    }
    assert!(results.iter().all(|result| *result == results[0] && *result > 10_000), "{results:?}");
}

/// The database of the run, for a workflow that does what it should not.
struct Database(PathBuf);

fn edit(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[step]
fn next(number: u32) -> u32 {
    Log::note("next");
    number
}

#[workflow]
fn counting(count: u32) -> u32 {
    if Switches::is_set("edit") {
        edit(&durable::resource::<Database>().0, "update steps set output = '7' where step_key = 'next_200'");
    }
    let sum = (0..count).map(next).sum();
    assert!(!Switches::is_set("stop"), "stopped");
    sum
}

/// A run of 300 steps that was stopped at its end, on a file and with no room for outputs.
fn counted() -> (tempfile::TempDir, PathBuf, Engine, Log, Switches) {
    let (log, switches) = (Log::default(), Switches::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let builder = support::builder(&log, &switches).history_bytes_max(0).with(Database(path.clone()));
    let engine = builder.open(&path).unwrap();
    switches.set("stop");
    counting::durable("a", 300).on(&engine).run().unwrap_err();
    switches.clear();
    log.take();
    (folder, path, engine, log, switches)
}

#[test]
fn a_row_that_rots_before_a_run_is_taken_up_stops_it_before_it_begins() {
    let (_folder, path, engine, _, switches) = counted();
    edit(&path, "update steps set output = '7' where step_key = 'next_200'");
    switches.set("edit");
    let error = counting::durable("a", 300).on(&engine).run().unwrap_err();
    let RunError::Engine(Error::Store { source, .. }) = error else { panic!("{error}") };
    assert!(matches!(&*source, StoreError::Corrupt(row) if row.key == "a, next_200"), "{source}");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
}

#[test]
fn a_row_that_rots_while_the_run_goes_on_stops_it_where_it_comes_to_it() {
    let (_folder, path, engine, log, switches) = counted();
    switches.set("edit");
    let error = counting::durable("a", 300).on(&engine).run().unwrap_err();
    let RunError::Engine(Error::Store { source, .. }) = error else { panic!("{error}") };
    assert!(matches!(&*source, StoreError::Corrupt(row) if row.key == "a, next_200"), "{source}");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    switches.clear();
    edit(&path, "update steps set output = '200' where step_key = 'next_200'");
    assert_eq!(counting::durable("a", 300).on(&engine).run().unwrap(), 300 * 299 / 2);
    assert!(log.lines().is_empty(), "nothing ran");
}

#[test]
fn a_missing_row_shows_before_anything_is_read_again() {
    let (_folder, path, engine, log, _) = counted();
    edit(&path, "delete from steps where step_key = 'next_200'");
    let error = counting::durable("a", 300).on(&engine).run().unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = error else { panic!("{error}") };
    let Difference::Missing { later } = &divergence.difference else { panic!("{divergence}") };
    assert_eq!((divergence.position.to_string().as_str(), later.as_str()), ("200", "next_201"));
    assert!(log.lines().is_empty(), "nothing ran");
}
