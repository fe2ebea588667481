//! Negative controls: engines and stores that are wrong on purpose, each caught by what judges `durable` too,
//! with the line it was caught with. A laboratory that lets one of them pass proves nothing.
//! Beside each stands its right form, which the same faults leave whole.

use std::path::{Path, PathBuf};

use durable::store::sqlite::SqliteStore;
use durable::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use durable_laboratory::{
    Cause, Done, Draws, Fault, Image, Note, Recorder, Spell, Tally, Trace, Trial, Violation, Workload, World,
    builder, cut_all_along, materialise,
};
use rusqlite::{Connection, OptionalExtension as _};

/// Every cut, with each loss once.
const EVERYWHERE: Draws = Draws { from: 0, every: 1, times: 4 };

fn is_lost(violation: &Violation) -> bool {
    matches!(violation, Violation::Lost(..) | Violation::Changed(..) | Violation::Repeated(_))
}

/// A store that answers a record before it applies it, with its next write.
struct Early {
    inner: SqliteStore,
    late: Vec<Op>,
}

impl StepStore for Early {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let late = std::mem::take(&mut self.late);
        if !late.is_empty() {
            self.inner.apply(&late)?;
        }
        if matches!(ops, [Op::Record(_)]) {
            self.late = ops.to_vec();
            return Ok(vec![Answer::Done]);
        }
        self.inner.apply(ops)
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.inner.reader()
    }

    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught() {
    for workload in [Workload::Sequential, Workload::Parallel, Workload::Concurrent] {
        let trial = Trial::of(workload);
        let trace = trial.record_on(|world, path| {
            let inner = SqliteStore::open(&path).unwrap();
            builder(world).store(Early { inner, late: Vec::new() })
        });
        let mut tally = Tally::new(format!("acknowledged before the commit, {}", workload.name()));
        cut_all_along(&trace, EVERYWHERE, &mut tally, |_, image, notes| {
            trial.recover(image, notes).violations
        });
        tally.must_catch(is_lost);
    }
}

/// So many rows a loop of the laboratory's own writes, one commit each.
const ROWS: u64 = 40;

/// So many of them where each operation of the loop fails in turn.
const ROWS_FEW: u64 = 6;

/// A table and a connection whose journal and syncs are set by hand.
fn connect(path: &Path, journal: &str, synchronous: &str) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    database.pragma_update(None, "synchronous", synchronous)?;
    // So that there are checkpoints among the commits.
    database.pragma_update_and_check(None, "wal_autocheckpoint", 16, |_| Ok(()))?;
    database.execute_batch("create table if not exists rows (k integer primary key, v text)")?;
    Ok(database)
}

fn insert(database: &Connection, k: u64) -> rusqlite::Result<()> {
    database.execute("insert into rows values (?1, ?2)", (row_id(k), "x".repeat(100))).map(|_| ())
}

/// A loop that acknowledges each row after its commit.
fn rows(journal: &str, synchronous: &str) -> Trace {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::watch(folder.path());
    let world = World::traced(Vec::new(), &recorder);
    let database = connect(&folder.path().join("rows.db"), journal, synchronous).unwrap();
    for k in 0..ROWS {
        insert(&database, k).unwrap();
        world.acknowledged("row", k);
    }
    drop(database);
    recorder.trace()
}

/// What does not hold of the rows of an image: each acknowledged one is there, each that was compensated is
/// not, and the file is whole.
fn judge_rows(image: &Image, notes: &[Note]) -> Vec<Violation> {
    let folder = tempfile::tempdir().unwrap();
    materialise(image, folder.path());
    // Nothing is cut any more: no sync is waited for.
    let _recorder = Recorder::watch(folder.path());
    let recovered = |path: PathBuf| -> rusqlite::Result<Vec<Violation>> {
        let database = Connection::open(path)?;
        let sound: String = database.query_row("pragma integrity_check", [], |row| row.get(0))?;
        let has_table = database.table_exists(None, "rows")?;
        let mut violations = Vec::new();
        if sound != "ok" {
            violations.push(Violation::Untyped(sound));
        }
        for note in notes {
            let Note::Acknowledged(what, k) = note else { continue };
            let found = has_table && is_there(&database, *k)?;
            match what.as_str() {
                "row" if !found => violations.push(Violation::Lost(format!("row {k}"), *k, None)),
                "compensation" if found => violations.push(Violation::Recorded(format!("row {k}"))),
                _ => {}
            }
        }
        Ok(violations)
    };
    recovered(folder.path().join("rows.db"))
        .unwrap_or_else(|error| vec![Violation::Untyped(error.to_string())])
}

fn is_there(database: &Connection, k: u64) -> rusqlite::Result<bool> {
    let row = database.query_row("select k from rows where k = ?1", [row_id(k)], |_| Ok(()));
    row.optional().map(|row| row.is_some())
}

/// SQLite's integers are signed.
fn row_id(k: u64) -> i64 {
    i64::try_from(k).unwrap()
}

/// Every image of a loop with these settings.
fn cut_rows(journal: &str, synchronous: &str) -> Tally {
    let mut tally = Tally::new(format!("journal {journal}, synchronous {synchronous}"));
    let trace = rows(journal, synchronous);
    let draws = Draws { times: 2, ..EVERYWHERE };
    cut_all_along(&trace, draws, &mut tally, |_, image, notes| judge_rows(image, notes));
    tally
}

#[test]
fn normal_synchronisation_is_caught() {
    cut_rows("wal", "normal").must_catch(is_lost);
    cut_rows("wal", "full").finish_beside();
    cut_rows("wal", "extra").finish_beside();
}

// In a rollback journal FULL leaves the removal of the journal to the folder's next sync, EXTRA does not
// (sqlite.org/pragma.html, "PRAGMA schema.synchronous").
#[test]
fn a_removed_journal_that_comes_back_is_caught() {
    cut_rows("delete", "full").must_catch(is_lost);
    cut_rows("delete", "extra").finish_beside();
}

/// What a loop does once a commit has failed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    /// Commits again on the same connection, and takes "no transaction is active" for success.
    CommitAgain,
    /// Looks on the same connection, finds nothing, and compensates.
    LookAtOnce,
    /// What `durable` does: drops the connection, opens another, checkpoints, writes over the place in the log,
    /// and looks only then.
    Reconnect,
}

/// What became of one row.
enum Fate {
    Recorded,
    Compensated,
    /// The loop gives up.
    Unknown,
}

fn record(database: &mut Connection, path: &Path, k: u64, after: After) -> Fate {
    let committed = database
        .execute_batch("begin immediate")
        .and_then(|()| insert(database, k))
        .and_then(|()| database.execute_batch("commit"));
    if committed.is_ok() {
        return Fate::Recorded;
    }
    if !database.is_autocommit() {
        _ = database.execute_batch("rollback");
    }
    let looked = match after {
        After::CommitAgain => {
            let again = database.execute_batch("commit");
            return if again.is_ok() || database.is_autocommit() { Fate::Recorded } else { Fate::Unknown };
        }
        After::LookAtOnce => is_there(database, k),
        After::Reconnect => reconnect(database, path).and_then(|()| is_there(database, k)),
    };
    match looked {
        Ok(true) => Fate::Recorded,
        Ok(false) => Fate::Compensated,
        Err(_) => Fate::Unknown,
    }
}

fn reconnect(database: &mut Connection, path: &Path) -> rusqlite::Result<()> {
    *database = connect(path, "wal", "extra")?;
    database.query_row("pragma wal_checkpoint(full)", [], |_| Ok(()))?;
    database.execute_batch("begin immediate")?;
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    database.pragma_update(None, "user_version", version)?;
    database.execute_batch("commit")
}

/// A loop of a few rows under a fault at each operation in turn, then power cuts after the fault.
fn fail_commits(after: After) -> Tally {
    let mut tally = Tally::new(format!("after a failed commit: {after:?}"));
    for done in [Done::Nothing, Done::Half, Done::All] {
        for at in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rows.db");
            let recorder = Recorder::watch(folder.path());
            let world = World::traced(Vec::new(), &recorder);
            let mut database = connect(&path, "wal", "extra").unwrap();
            // A second connection, as `durable` has one to read: the log is not recovered between two others.
            let _reader = connect(&path, "wal", "extra").unwrap();
            let before = recorder.trace().events.len();
            let at = recorder.operations() + at;
            recorder.plan(Fault { at, spell: Spell::Once, cause: Cause::Broken, done });
            for k in 0..ROWS_FEW {
                match record(&mut database, &path, k, after) {
                    Fate::Recorded => world.acknowledged("row", k),
                    Fate::Compensated => world.acknowledged("compensation", k),
                    Fate::Unknown => break,
                }
            }
            if recorder.struck() == 0 {
                break;
            }
            let draws = Draws { from: before, every: 1, times: 1 };
            let mut part = Tally::default();
            cut_all_along(&recorder.trace(), draws, &mut part, |_, image, notes| judge_rows(image, notes));
            for (place, violation) in std::mem::take(&mut part.violations) {
                tally.add(format!("operation {at} failed, {done:?} of it done; {place}"), vec![violation]);
            }
            tally.merge(part);
            tally.faults += 1;
        }
    }
    tally
}

#[test]
fn another_commit_on_the_same_connection_is_caught() {
    fail_commits(After::CommitAgain).must_catch(is_lost);
}

#[test]
fn a_look_on_the_connection_that_failed_is_caught() {
    fail_commits(After::LookAtOnce).must_catch(|violation| matches!(violation, Violation::Recorded(_)));
}

#[test]
fn a_look_after_a_checkpoint_on_another_connection_is_right() {
    fail_commits(After::Reconnect).finish_beside();
}
