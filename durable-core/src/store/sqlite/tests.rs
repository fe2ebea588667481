//! What the SQLite store does when the database under it fails: nothing of a batch is seen, and a later try
//! can succeed.

use std::ops::ControlFlow;
use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::store::{End, Ownership, RunStatus};

fn workflow() -> WorkflowId {
    WorkflowId::new("a").unwrap()
}

fn start(input: &str) -> Op {
    let owner = OwnerId("owner".into());
    let (name, input, at) = ("fulfil".into(), input.into(), Timestamp::from_millis(1));
    Op::Start(Start {
        id: workflow(),
        name,
        input,
        owner: Some(owner),
        wake_at: None,
        deadline: None,
        version: None,
        parent: None,
        nonce: 1,
        seed: 1,
        fingerprint: 1,
        at,
    })
}

fn finish(output: &str) -> Op {
    let (end, at) = (End::Completed(output.into()), Timestamp::from_millis(2));
    Op::Finish(Finish { id: workflow(), epoch: Epoch(1), end, at })
}

/// A store, and another program that has its file open.
fn opened() -> (tempfile::TempDir, SqliteStore, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    (folder, store, Connection::open(path).unwrap())
}

#[track_caller]
fn check_unavailable(error: &StoreError, text: &str) {
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_full_disk_fails_the_whole_batch_and_is_forgotten_once_there_is_space() {
    let (_folder, mut store, _other) = opened();
    let mut reader = store.reader().unwrap();
    store.connection().unwrap().pragma_update(None, "max_page_count", 8).unwrap();
    let big = "x".repeat(100_000);
    let error = store.apply(&[start("null"), finish(&big)]).unwrap_err();
    check_unavailable(
        &error,
        "the store could not commit a batch of 2: database or disk is full; nothing was committed",
    );
    assert_eq!(reader.run(&workflow()).unwrap(), None);
    assert_eq!(
        store.apply(&[start("null"), finish(&big)]).unwrap(),
        [Answer::Started(Epoch(1)), Answer::Done]
    );
    assert_eq!(reader.run(&workflow()).unwrap().unwrap().status, RunStatus::Completed);
}

#[test]
fn a_long_transaction_of_another_program_delays_a_write_and_no_read() {
    let (_folder, mut store, other) = opened();
    let mut reader = store.reader().unwrap();
    store.connection().unwrap().busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let error = store.apply(&[start("null")]).unwrap_err();
    check_unavailable(
        &error,
        "the store could not commit a batch of 1: database is locked; nothing was committed",
    );
    assert_eq!(reader.run(&workflow()).unwrap(), None);
    assert!(store.connection.is_some(), "nothing was tried that could be in doubt");
    other.execute_batch("commit").unwrap();
    assert_eq!(store.apply(&[start("null")]).unwrap(), [Answer::Started(Epoch(1))]);
}

#[test]
fn a_long_read_of_another_program_delays_nothing() {
    let (_folder, mut store, other) = opened();
    other.execute_batch("begin; select * from workflows").unwrap();
    store.apply(&[start("null")]).unwrap();
    let mut reader = store.reader().unwrap();
    assert!(reader.run(&workflow()).unwrap().is_some());
}

// A trigger of another program refuses what the batch inserts; SQLite keeps the transaction, so the connection is
// as good as it was.
#[test]
fn a_write_that_sqlite_refuses_is_to_blame_alone_and_the_connection_is_kept() {
    let (_folder, mut store, other) = opened();
    let refuses =
        "create trigger refuses before insert on workflows begin select raise(abort, 'not here'); end";
    other.execute_batch(refuses).unwrap();
    let error = store.apply(&[start("null")]).unwrap_err();
    assert!(matches!(&error, StoreError::Refused { reason } if reason == "not here"), "{error:?}");
    assert!(store.connection.is_some());
    other.execute_batch("drop trigger refuses").unwrap();
    assert_eq!(store.apply(&[start("null")]).unwrap(), [Answer::Started(Epoch(1))]);
}

#[test]
fn an_error_that_is_not_of_one_write_is_of_the_batch_and_ends_the_connection() {
    let (_folder, mut store, other) = opened();
    store.apply(&[start("null")]).unwrap();
    other.execute_batch("drop table steps").unwrap();
    let reset = Op::Reset(Reset { id: workflow(), expected: Epoch(1), at: Timestamp::from_millis(8) });
    let error = store.apply(&[reset]).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(store.connection.is_none());
}

// SQLite looks at a deferred key when it commits, and goes on with the transaction; that a rollback went through
// says nothing of what an error of the disk would have left.
#[test]
fn a_commit_that_fails_is_of_unknown_fate_though_it_can_be_rolled_back() {
    let (_folder, mut store, other) = opened();
    let defers = "create table parents (id integer primary key);
        create table children (parent integer references parents deferrable initially deferred);
        create trigger orphans after insert on workflows begin insert into children values (7); end";
    other.execute_batch(defers).unwrap();
    store.connection().unwrap().pragma_update(None, "foreign_keys", true).unwrap();
    let error = store.apply(&[start("null")]).unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
    assert!(store.connection.is_none());
    assert_eq!(store.reader().unwrap().run(&workflow()).unwrap(), None);
}

#[test]
fn a_damaged_file_is_for_good_and_a_full_disk_for_the_moment() {
    let said =
        |code| unavailable("write", &rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    for code in [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB] {
        assert!(matches!(said(code), StoreError::Fatal { .. }), "{code}");
    }
    for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_IOERR] {
        assert!(said(code).is_of_the_moment(), "{code}");
    }
}

/// `pragma wal_checkpoint` answered "busy" as a success, and what had not been synced was believed.
#[test]
fn a_checkpoint_that_was_held_up_is_no_checkpoint() {
    let (_folder, mut store, other) = opened();
    store.apply(&[start("null")]).unwrap();
    other.execute_batch("begin").unwrap();
    other.query_row("select count(*) from workflows", [], |_| Ok(())).unwrap();
    store.apply(&[finish("1")]).unwrap();
    let connection = store.connection().unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    assert!(is_harmless(&checkpoint(connection).unwrap_err()));
    other.execute_batch("commit").unwrap();
    checkpoint(connection).unwrap();
}

#[test]
fn a_rotten_row_fails_its_batch_alone_and_can_be_forgotten() {
    let (_folder, mut store, other) = opened();
    let mut reader = store.reader().unwrap();
    store.apply(&[start("null")]).unwrap();
    other.execute("update workflows set input = '[2]'", []).unwrap();
    assert!(matches!(store.apply(&[finish("1")]), Err(StoreError::Corrupt(_))));
    assert!(matches!(reader.run(&workflow()), Err(StoreError::Corrupt(_))));
    let ownership = reader.ownership(&workflow()).unwrap().unwrap();
    assert_eq!(ownership, Ownership { epoch: Epoch(1), owner: Some(OwnerId("owner".into())) });
    let reset = Op::Reset(Reset { id: workflow(), expected: ownership.epoch, at: Timestamp::from_millis(8) });
    assert_eq!(store.apply(&[reset]).unwrap(), [Answer::Done]);
    assert_eq!(store.apply(&[start("null")]).unwrap(), [Answer::Started(Epoch(2))]);
}

/// A window that was read ahead of a rotten row is good up to there.
#[test]
fn a_scan_has_passed_all_rows_before_a_rotten_one() {
    let (_folder, mut store, other) = opened();
    let mut reader = store.reader().unwrap();
    store.apply(&[start("null")]).unwrap();
    let row = "insert into steps select 'a', ?1, 'work_' || ?2, 'step', null, 'COMPLETED', '1', null, null, 'a.rs:1', 1, 1, 1, 1, 1, ?3";
    for number in 0..4_u32 {
        let rotten = (number == 2).then_some(7);
        other.execute(row, params![number.to_be_bytes(), number, rotten]).unwrap();
    }
    let mut passed = Vec::new();
    let scanned = reader.scan(&workflow(), None, &mut |row| {
        passed.push((row.position.to_string(), row.edited));
        ControlFlow::Continue(())
    });
    let Err(StoreError::Corrupt(row)) = scanned else { panic!("{scanned:?}") };
    assert_eq!(
        (row.key.as_str(), passed),
        ("a, work_2", vec![("0".to_owned(), true), ("1".to_owned(), true)])
    );
}

#[test]
fn a_connection_after_a_failed_commit_begins_with_a_commit_of_its_own() {
    let (_folder, mut store, _other) = opened();
    store.apply(&[start("null")]).unwrap();
    store.apply(&[finish("1")]).unwrap();
    let frames = |store: &mut SqliteStore| {
        let connection = store.connection().unwrap();
        connection.query_row("pragma wal_checkpoint(passive)", [], |row| row.get::<_, i64>(1)).unwrap()
    };
    assert!(frames(&mut store) > 1);
    store.connection = None;
    assert_eq!(frames(&mut store), 1, "the log begins anew with one page, over what lay at its start");
}

#[test]
fn the_log_is_moved_into_the_file_between_batches_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut store = SqliteStore::open_with(&path, Durability::Off).unwrap();
    let log_bytes = || std::fs::metadata(folder.path().join("runs.db-wal")).unwrap().len();
    let mut begun = 0;
    let mut another = || {
        let Op::Start(mut op) = start("null") else { unreachable!() };
        begun += 1;
        op.id = WorkflowId::new(format!("run {begun}")).unwrap();
        Op::Start(op)
    };
    let mut bytes_max = 0;
    for round in 0..3 {
        let mut batches = 0;
        while !store.wants_upkeep() {
            store.apply(&[another(), another()]).unwrap();
            batches += 1;
            assert!(batches < 10_000, "nobody asks for it");
        }
        let behind = pages_behind(store.connection().unwrap()).unwrap();
        assert!((LOG_PAGES..LOG_PAGES + 500).contains(&behind), "{behind} pages in round {round}");
        store.keep_up();
        assert_eq!(pages_behind(store.connection().unwrap()).unwrap(), 0);
        assert!(!store.wants_upkeep(), "once is enough");
        bytes_max = if round == 0 { log_bytes() } else { bytes_max };
        assert!(log_bytes() <= bytes_max + bytes_max / 4, "the log grows beyond what it needs");
    }
}

#[test]
fn each_durability_is_what_sqlite_has_of_it_also_after_a_failure() {
    // The numbers of <https://sqlite.org/pragma.html#pragma_synchronous>.
    for (durability, number) in
        [(Durability::Extra, 3), (Durability::Full, 2), (Durability::Normal, 1), (Durability::Off, 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open_with(&folder.path().join("runs.db"), durability).unwrap();
        for _ in 0..2 {
            let connection = store.connection().unwrap();
            let found: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
            assert_eq!(found, number, "{durability}");
            store.connection = None;
        }
    }
}
