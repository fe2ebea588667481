//! The recorder tells the truth: what it recorded, played again, is byte for byte what the files hold, and
//! its faults strike where they are planned.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use durable_laboratory::{
    Cause, Dice, Disk, Done, Event, Fault, Loss, Recorder, Spell, Tally, Workload, World, builder,
};
use rusqlite::Connection;

/// The database and its logs as they are.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = ["runs.db", "runs.db-wal", "runs.db-journal"];
    let read = |name: &str| Some((name.to_owned(), fs::read(folder.join(name)).ok()?));
    names.into_iter().filter_map(read).collect()
}

#[test]
fn a_trace_played_again_is_what_the_files_hold() {
    for workload in Workload::ALL {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::watch(folder.path());
        let world = World::traced(Vec::new(), &recorder);
        let engine = builder(world).open(folder.path().join("runs.db")).unwrap();
        assert_eq!(workload.run(&engine).unwrap(), workload.expected());
        let trace = recorder.trace();
        println!("{}: {} operations, {} events", workload.name(), recorder.operations(), trace.events.len());
        let disk = Disk::after(&trace, trace.events.len());
        let image = disk.draw(Loss::Nothing, &mut Dice::new(0));
        assert!(image == files(folder.path()), "{}", workload.name());
        let synced = disk.draw(Loss::Everything, &mut Dice::new(0));
        assert!(synced == image, "{}: all of a run that has ended is synced", workload.name());
    }
}

#[test]
fn closing_moves_the_log_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::watch(folder.path());
    let engine = builder(World::default()).open(folder.path().join("runs.db")).unwrap();
    Workload::Sequential.run(&engine).unwrap();
    drop(engine);
    let trace = recorder.trace();
    let image = Disk::after(&trace, trace.events.len()).draw(Loss::Nothing, &mut Dice::new(0));
    assert!(image == files(folder.path()));
    assert_eq!(image.keys().collect::<Vec<_>>(), ["runs.db"]);
}

#[test]
fn a_fault_strikes_where_it_is_planned_and_is_taken_away() {
    let mut tally = Tally::new("planned faults");
    for cause in [Cause::Broken, Cause::Full] {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::watch(folder.path());
        let database = Connection::open(folder.path().join("a.db")).unwrap();
        database.execute_batch("pragma journal_mode = wal; create table t (k)").unwrap();
        let at = recorder.operations() + 1;
        recorder.plan(Fault { at, spell: Spell::ForEver, cause, done: Done::Nothing });
        for _ in 0..3 {
            let failed = database.execute("insert into t values (1)", []).unwrap_err();
            let full = failed.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
            assert_eq!(full, cause == Cause::Full, "{failed}");
            tally.points += 1;
        }
        assert!(recorder.struck() >= 3);
        recorder.heal();
        database.execute("insert into t values (2)", []).unwrap();
        let rows: i64 = database.query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
    }
    tally.finish();
}

#[test]
fn a_folder_that_nobody_watches_is_left_alone() {
    let (watched, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recorder = Recorder::watch(watched.path());
    let database = Connection::open(other.path().join("a.db")).unwrap();
    database.execute_batch("create table t (k); insert into t values (1)").unwrap();
    assert_eq!((recorder.operations(), recorder.trace().events.len()), (0, 0));
}

// A copy of the files of an open database is what a kill leaves. The trace must show that the whole log was
// written and synced before anything else, although SQLite had no part in it.
#[test]
fn a_log_that_was_left_behind_is_written_and_synced_before_anything_else() {
    let (folder, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = builder(World::default()).open(folder.path().join("runs.db")).unwrap();
    Workload::Sequential.run(&engine).unwrap();
    for (name, bytes) in files(folder.path()) {
        fs::write(left.path().join(name), bytes).unwrap();
    }
    let log = fs::read(left.path().join("runs.db-wal")).unwrap();
    let recorder = Recorder::watch(left.path());
    let engine = builder(World::default()).open(left.path().join("runs.db")).unwrap();
    let events = recorder.trace().events;
    let [Event::Write { offset: 0, bytes, file }, Event::Sync { file: synced, done: true, .. }, rest @ ..] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(*bytes == log && file == synced, "{} bytes of {}", bytes.len(), log.len());
    assert!(matches!(rest, [Event::SyncFolder { done: true }]), "{rest:?}");
    assert_eq!(Workload::Sequential.run(&engine).unwrap(), Workload::Sequential.expected());
}
