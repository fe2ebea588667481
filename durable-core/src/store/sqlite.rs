//! The store in one SQLite file. One batch is one `begin immediate … commit`, by default at
//! `synchronous=extra`; reads have a connection of their own. After an error from a commit, or from the disk,
//! the connection is not trusted any more: the next batch opens another one, and believes what it reads only
//! after a checkpoint. The log is moved into the file between two batches, by the engine's thread; SQLite does it
//! in a commit only if that thread does not come to it. Knows no workflow and no types of the user.

mod failure;
mod forking;
mod listing;
mod mail;
mod reader;
mod steps;

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use self::failure::{Failure, OpError, is_harmless, is_of_one_statement, unavailable};
use self::reader::SqliteReader;
use self::steps::record;
use super::row::{read_run, run_columns, run_params};
use super::{
    Answer, Ask, Claim, Disown, Durability, Epoch, Finish, Op, OpenError, OwnerId, Release, Reopen, Reset,
    Rewind, RunRecord, Start, StepReader, StepStore, StoreError, Token, Wanted, schema, transition,
};
use crate::key::{Position, WorkflowId};
use crate::owner::{self, Gate, Owner, Owners};
use crate::trace;

/// The store behind `Engine::open`.
///
/// # Examples
/// ```
/// use durable_core::Engine;
/// use durable_core::store::sqlite::SqliteStore;
/// let folder = tempfile::tempdir()?;
/// let engine = Engine::builder().store(SqliteStore::open(&folder.path().join("orders.db"))?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    durability: Durability,
    connection: Option<Connection>,
    /// How many ops were applied since the length of the log was asked.
    ops_unasked: usize,
    gate: Gate,
    owners: Owners,
    owner: Owner,
}

impl SqliteStore {
    /// Opens the database at `path`, and creates it if there is none, with [`Durability::Extra`].
    ///
    /// # Errors
    /// See [`OpenError`]; a file that is refused is left as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, Durability::default())
    }

    /// As [`SqliteStore::open`], with another durability.
    ///
    /// # Errors
    /// See [`OpenError`]; a file that is refused is left as it was.
    pub fn open_with(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        // Before the gate, which the parent of a forked process may have died in.
        owner::let_go();
        // Those who open at once do so in turns: SQLite does not wait for everything that it does with a new file.
        // Where there can be no gate, opening the file tells why.
        let mut gate = Gate::of(path);
        let turn = gate.as_mut().ok().map(Gate::turn);
        let (path, connection) = schema::open(path, durability)?;
        drop(turn);
        let owners = Owners::of(&path);
        let joined = owners
            .join()
            .map_err(|error| OpenError::Failed { path: path.clone(), reason: error.to_string() })?;
        let owner = joined.ok_or_else(|| OpenError::FileSystem {
            path: path.clone(),
            reason: "it gives one lock to two holders".to_owned(),
        })?;
        owners.sweep();
        let reader = schema::connect_reader(&path).map_err(|error| schema::failed(&path, &error))?;
        let mode = reader.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        schema::check_wal(&path, &mode.map_err(|error| schema::failed(&path, &error))?)?;
        let gate =
            gate.map_err(|error| OpenError::Failed { path: path.clone(), reason: error.to_string() })?;
        Ok(Self { path, durability, connection: Some(connection), ops_unasked: 0, gate, owners, owner })
    }

    /// The connection; after one was given up, a new one whose log has been checkpointed.
    fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => reconnect(&self.path, self.durability)
                .map_err(|error| unavailable("open the database again", &error))?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// What is read after a failed commit counts only once it has been checkpointed, and once another commit has
/// gone over the place in the log where the failed one may lie: if that one is not read now, no recovery may
/// bring it back later. The version written again is the smallest commit that SQLite does not leave out.
fn reconnect(path: &Path, durability: Durability) -> Result<Connection, rusqlite::Error> {
    let connection = schema::connect(path, durability)?;
    checkpoint(&connection)?;
    connection.execute_batch("begin immediate")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version)?;
    connection.execute_batch("commit")?;
    Ok(connection)
}

/// Beyond so many pages the log is moved into the file by the engine's thread: as many as SQLite itself moves by
/// default (sqlite.org/wal.html, "Automatic Checkpoint").
const LOG_PAGES: i64 = 1_000;

/// The length of the log is asked after so many ops.
const OPS_PER_QUESTION: usize = 64;

/// How many pages of the log are not in the file yet; it is read from memory that processes share.
fn pages_behind(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let mut statement = connection.prepare_cached("pragma wal_checkpoint(noop)")?;
    statement.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
}

/// Moves the whole log into the file and syncs both. SQLite reports one that readers or writers held up as a
/// success with a mark.
fn checkpoint(connection: &Connection) -> Result<(), rusqlite::Error> {
    let held_up: bool = connection.query_row("pragma wal_checkpoint(full)", [], |row| row.get(0))?;
    if held_up {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, None));
    }
    Ok(())
}

impl StepStore for SqliteStore {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let _turn = self.gate.turn();
        let connection = self.connection()?;
        let applied = apply(connection, ops);
        if matches!(applied, Err(Failure { keeps_connection: false, .. })) {
            self.connection = None;
        }
        self.ops_unasked += ops.len();
        applied.map_err(|failure| failure.error)
    }

    fn wants_upkeep(&mut self) -> bool {
        if self.ops_unasked < OPS_PER_QUESTION {
            return false;
        }
        self.ops_unasked = 0;
        let behind = self.connection.as_ref().map(pages_behind);
        matches!(behind, Some(Ok(pages)) if pages >= LOG_PAGES)
    }

    fn keep_up(&mut self) {
        if let Some(connection) = &self.connection
            && let Err(error) = connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
        {
            // As SQLite does when it fails in a commit: the log stays as long as it is, and is moved later.
            trace::warn(None, &format!("the write-ahead log could not be moved into the file: {error}"));
        }
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        let connection = schema::connect_reader(&self.path)
            .map_err(|error| unavailable("open the database to read", &error))?;
        let owner = self.owner.id().clone();
        Ok(Box::new(SqliteReader { connection, owners: self.owners.clone(), owner }))
    }

    fn owner(&self) -> OwnerId {
        self.owner.id().clone()
    }
}

fn apply(connection: &mut Connection, ops: &[Op]) -> Result<Vec<Answer>, Failure> {
    let action = || format!("commit a batch of {}", ops.len());
    let before = |error: rusqlite::Error| Failure {
        keeps_connection: is_harmless(&error),
        error: unavailable(&action(), &error),
    };
    connection.execute_batch("begin immediate").map_err(before)?;
    let answers: Result<Vec<_>, _> = ops.iter().map(|op| apply_op(connection, op)).collect();
    let answers = answers.map_err(|error| {
        // Where SQLite keeps the transaction after an error, the statement alone was wrong.
        let stood = !connection.is_autocommit();
        let rolled_back = !stood || connection.execute_batch("rollback").is_ok();
        match error {
            OpError::Corrupt(row) => Failure { error: row.into(), keeps_connection: rolled_back },
            OpError::Sqlite(error) if stood && is_of_one_statement(&error) => Failure {
                keeps_connection: rolled_back,
                error: StoreError::Refused { reason: error.to_string() },
            },
            OpError::Sqlite(error) => Failure {
                keeps_connection: rolled_back && is_harmless(&error),
                error: unavailable(&action(), &error),
            },
        }
    })?;
    connection.execute_batch("commit").map_err(|error| {
        // Busy is said before anything is written; after every other error nobody knows.
        let nothing_written = is_harmless(&error) && connection.execute_batch("rollback").is_ok();
        let unknown = StoreError::Unknown { reason: error.to_string() };
        Failure {
            error: if nothing_written { unavailable(&action(), &error) } else { unknown },
            keeps_connection: nothing_written,
        }
    })?;
    Ok(answers)
}

fn apply_op(connection: &Connection, op: &Op) -> Result<Answer, OpError> {
    match op {
        Op::Start(op) => start(connection, op),
        Op::Claim(op) => claim(connection, op),
        Op::Record(op) => record(connection, op),
        Op::Act(op) => mail::act(connection, op),
        Op::Deliver(op) => mail::send(connection, op),
        Op::Publish(op) => mail::publish(connection, op),
        Op::Finish(op) => finish(connection, op),
        Op::Release(op) => release(connection, op),
        Op::Disown(op) => disown(connection, op),
        Op::Ask(op) => ask(connection, op),
        Op::Reopen(op) => reopen(connection, op),
        Op::Rewind(op) => rewind(connection, op),
        Op::Fork(op) => forking::fork(connection, op),
        Op::DropMessage(op) => mail::drop_message(connection, op),
        Op::Reset(op) => reset(connection, op),
    }
}

const NEXT_EPOCH: &str = "update epochs set last = last + 1 returning last";

fn next_epoch(connection: &Connection) -> Result<Epoch, OpError> {
    Ok(Epoch(connection.prepare_cached(NEXT_EPOCH)?.query_row([], |row| row.get(0))?))
}

const RUN: &str = concat!("select ", run_columns!(), " from workflows where id = ?1");

fn load(connection: &Connection, id: &WorkflowId) -> Result<Option<RunRecord>, OpError> {
    let row = connection.prepare_cached(RUN)?.query_row([id.as_str()], |row| Ok(read_run(row))).optional()?;
    Ok(row.transpose()?)
}

/// The run with this id, while its epoch is `epoch`.
fn load_at(connection: &Connection, id: &WorkflowId, epoch: Epoch) -> Result<Option<RunRecord>, OpError> {
    Ok(load(connection, id)?.filter(|run| run.epoch == epoch))
}

const SAVE: &str = concat!(
    "insert or replace into workflows (",
    run_columns!(),
    ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)"
);

fn save(connection: &Connection, run: &RunRecord) -> Result<(), OpError> {
    let mut statement = connection.prepare_cached(SAVE)?;
    run_params(run, |params| statement.execute(params))?;
    Ok(())
}

fn start(connection: &Connection, op: &Start) -> Result<Answer, OpError> {
    if let Some(run) = load(connection, &op.id)? {
        return Ok(transition::restart(&run, op));
    }
    let epoch = next_epoch(connection)?;
    save(connection, &transition::start(op, epoch))?;
    Ok(Answer::Started(epoch))
}

const DROP_ONE: &str = "delete from steps where workflow_id = ?1 and position = ?2";

fn claim(connection: &Connection, op: &Claim) -> Result<Answer, OpError> {
    let as_read = load_at(connection, &op.id, op.expected)?.filter(|run| run.owner == op.from);
    let Some(mut run) = as_read else { return Ok(Answer::Lost) };
    let epoch = next_epoch(connection)?;
    transition::claim(&mut run, op, epoch);
    save(connection, &run)?;
    if !op.drop.is_empty() {
        let races = mail::decisions(connection, &op.id, |position| op.drop.contains(position))?;
        let mut drop_one = connection.prepare_cached(DROP_ONE)?;
        for position in &op.drop {
            drop_one.execute(params![op.id.as_str(), position.to_bytes()])?;
        }
        mail::receive_again(connection, &op.id, &races)?;
    }
    Ok(Answer::Claimed(epoch))
}

fn finish(connection: &Connection, op: &Finish) -> Result<Answer, OpError> {
    let Some(mut run) = load_at(connection, &op.id, op.epoch)? else { return Ok(Answer::Fenced) };
    let answer = transition::finish(&mut run, op);
    if answer == Answer::Done {
        save(connection, &run)?;
        mail::tell_of_end(connection, &run, op.at)?;
    }
    Ok(answer)
}

fn release(connection: &Connection, op: &Release) -> Result<Answer, OpError> {
    let Some(mut run) = load_at(connection, &op.id, op.epoch)? else { return Ok(Answer::Fenced) };
    let answer = transition::release(&mut run, op);
    if answer == Answer::Done {
        if let Some(awaits) = &op.awaits
            && mail::is_there(connection, &op.id, awaits)?
        {
            transition::wake(&mut run, &awaits.token(), op.at);
        }
        save(connection, &run)?;
        mail::tell_of_end(connection, &run, op.at)?;
    }
    Ok(answer)
}

fn disown(connection: &Connection, op: &Disown) -> Result<Answer, OpError> {
    let Some(mut run) = load(connection, &op.id)? else { return Ok(Answer::Fenced) };
    let answer = transition::disown(&mut run, op);
    if answer == Answer::Done {
        save(connection, &run)?;
        mail::tell_of_end(connection, &run, op.at)?;
    }
    Ok(answer)
}

const DESCENDANTS: &str = "with recursive below(id) as (
  select id from workflows where parent = ?1
  union
  select workflows.id from workflows join below on workflows.parent = below.id
)
select id from below where id <> ?1 order by id";

fn ask(connection: &Connection, op: &Ask) -> Result<Answer, OpError> {
    let Some(run) = load(connection, &op.id)? else { return Ok(Answer::Lost) };
    let mut asked = Vec::new();
    match ask_one(connection, &run, op)? {
        transition::Asked::Ended => return Ok(Answer::Lost),
        transition::Asked::Done => {}
        transition::Asked::Owned => asked.push(op.id.clone()),
    }
    if op.wanted == Wanted::Cancel {
        let mut statement = connection.prepare_cached(DESCENDANTS)?;
        let ids = statement.query_map([op.id.as_str()], |row| row.get::<_, String>(0))?;
        for id in ids.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(|id| WorkflowId::new(id).ok()) {
            let Some(run) = load(connection, &id)? else { continue };
            if let transition::Asked::Owned = ask_one(connection, &run, op)? {
                asked.push(id);
            }
        }
    }
    Ok(if asked.is_empty() { Answer::Done } else { Answer::Asked(asked) })
}

fn ask_one(connection: &Connection, run: &RunRecord, op: &Ask) -> Result<transition::Asked, OpError> {
    let mut changed = run.clone();
    let asked = transition::ask(&mut changed, op);
    if changed != *run {
        save(connection, &changed)?;
        mail::tell_of_end(connection, &changed, op.at)?;
    }
    Ok(asked)
}

fn reopen(connection: &Connection, op: &Reopen) -> Result<Answer, OpError> {
    let Some(mut run) = load(connection, &op.id)? else { return Ok(Answer::Lost) };
    let answer = transition::reopen(&mut run, op);
    if answer == Answer::Done {
        save(connection, &run)?;
    }
    Ok(answer)
}

const POSITIONS: &str = "select position from steps where workflow_id = ?1";

fn rewind(connection: &Connection, op: &Rewind) -> Result<Answer, OpError> {
    let Some(mut run) = load_at(connection, &op.id, op.expected)? else { return Ok(Answer::Lost) };
    transition::rewind(&mut run, op, next_epoch(connection)?);
    save(connection, &run)?;
    mail::put_back(connection, &op.id, |position| transition::is_rewound(position, &op.from))?;
    let races = mail::decisions(connection, &op.id, |position| transition::is_rewound(position, &op.from))?;
    let mut statement = connection.prepare_cached(POSITIONS)?;
    let positions = statement.query_map([op.id.as_str()], |row| row.get::<_, Value>(0))?;
    let positions: Vec<_> = positions.collect::<Result<_, _>>()?;
    let mut drop_one = connection.prepare_cached(DROP_ONE)?;
    let mut dropped = 0;
    for stored in positions {
        let position = if let Value::Blob(bytes) = &stored { Position::from_bytes(bytes) } else { None };
        // A position that cannot be read lies after nothing; it goes too, since the run is to go on from what
        // is left.
        if position.is_none_or(|position| transition::is_rewound(&position, &op.from)) {
            dropped += drop_one.execute(params![op.id.as_str(), stored])?;
        }
    }
    dropped += mail::receive_again(connection, &op.id, &races)?;
    Ok(Answer::Dropped(dropped as u64))
}

const AT: &str = "select 1 from workflows where id = ?1 and epoch = ?2";
const FORGET_STEPS: &str = "delete from steps where workflow_id = ?1";
const FORGET_RUN: &str = "delete from workflows where id = ?1";

/// Asks nothing of the row but its epoch, so that a damaged run can be forgotten.
fn reset(connection: &Connection, op: &Reset) -> Result<Answer, OpError> {
    if !connection.prepare_cached(AT)?.exists(params![op.id.as_str(), op.expected.0])? {
        return Ok(Answer::Lost);
    }
    connection.prepare_cached(FORGET_STEPS)?.execute([op.id.as_str()])?;
    connection.prepare_cached(FORGET_RUN)?.execute([op.id.as_str()])?;
    mail::forget(connection, &op.id)?;
    mail::wake_all(connection, &Token::of_run(&op.id), op.at)?;
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests;
