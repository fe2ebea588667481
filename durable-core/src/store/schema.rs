//! Opening a database: what a file must be before anything is written to it, and how it comes to the current
//! schema. The one rule: a file that is refused stays byte for byte what it was, and gets no files beside it.
//! So it is looked at first by a connection that can neither write nor lock, and `application_id` is in the
//! file itself before its first write-ahead log exists.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use self::log::{renew, sync_folder};
use self::look::{Found, beside, canonical, has_log, identify, is_being_created, look, look_inside};
use super::{Durability, OpenError};
use crate::owner::{self, private};

mod log;
mod look;

/// "drbl": what tells our files from other SQLite databases.
const APPLICATION_ID: i32 = 0x6472_626c;

/// The schema, version by version. A released one never changes.
const MIGRATIONS: [&str; 3] = [
    include_str!("sqlite/0001_steps.sql"),
    include_str!("sqlite/0002_background.sql"),
    include_str!("sqlite/0003_messages.sql"),
];

/// The schema version that this program knows.
const VERSION: i64 = 3;
const _: () = assert!(MIGRATIONS.len() == 3, "VERSION is the number of migrations");

/// The oldest SQLite that is free of the WAL-reset bug (sqlite.org/wal.html, "The WAL-Reset Bug").
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Beyond so many pages of the log SQLite moves them into the file in a commit, while a caller waits: twice as many as
/// the engine's thread lets it have.
const LOG_PAGES_MAX: u32 = 2_000;

/// So many prepared statements are kept: all of ours.
const STATEMENTS_KEPT: usize = 64;

/// Held by the one thread of this process that creates a database, for the sake of [`settle_empty`].
static CREATING: Mutex<()> = Mutex::new(());

/// Looks at the file at `path`, creates it if there is none, and brings it to the current schema. Its
/// canonical path and a connection that writes.
pub(super) fn open(path: &Path, durability: Durability) -> Result<(PathBuf, Connection), OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    let path = canonical(path)?;
    if let Some(opened_by) = owner::opened_by_parent(&path) {
        return Err(OpenError::Forked { path, opened_by });
    }
    let created = match look(&path)? {
        Found::Nothing | Found::Empty => Some(CREATING.lock().unwrap_or_else(PoisonError::into_inner)),
        Found::File => None,
    };
    // Before the look at the file: whoever creates a database fills the file before it has a log.
    let had_log = has_log(&path);
    match look(&path)? {
        Found::Nothing | Found::Empty if had_log => {
            // SQLite would remove the log, and with it what was not moved into the file yet.
            let reason =
                "its file is gone and its write-ahead log is not; put the file back, or remove the log too";
            return Err(OpenError::Damaged { path, reason: reason.to_owned() });
        }
        Found::Nothing => create_file(&path)?,
        Found::Empty => settle_empty(&path)?,
        Found::File if is_being_created(&path) => {}
        Found::File => look_inside(&path)?,
    }
    let mut connection = connect_bare(&path).map_err(|error| failed(&path, &error))?;
    // Before the first statement: a log that was left behind may say that the file is to be refused, and is not
    // to be moved into it then. An empty one would be removed.
    keep_log(&path, &connection, beside(&path, "-wal").exists())?;
    set_up_writer(&connection, durability).map_err(|error| failed(&path, &error))?;
    // For a new file, whatever the linked SQLite was built to do; any other keeps what it has.
    connection.pragma_update(None, "auto_vacuum", 0).map_err(|error| failed(&path, &error))?;
    migrate(&path, &mut connection)?;
    keep_log(&path, &connection, false)?;
    drop(created);
    Ok((path, connection))
}

/// Whether the log outlives its last connection.
fn keep_log(path: &Path, connection: &Connection, keep: bool) -> Result<(), OpenError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    set.map(|_| ()).map_err(|error| failed(path, &error))
}

/// A connection that writes, set up as every one is.
pub(super) fn connect(path: &Path, durability: Durability) -> Result<Connection, rusqlite::Error> {
    let connection = connect_bare(path)?;
    set_up_writer(&connection, durability)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = connect_bare(path)?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection that has not looked at the file yet.
fn connect_bare(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(path, flags)
}

fn set_up_writer(connection: &Connection, durability: Durability) -> Result<(), rusqlite::Error> {
    set_up(connection)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES_MAX, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", durability.word())
}

fn set_up(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(|error| match error {
        // A build without memory mapping answers nothing, and maps nothing.
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    })
}

/// Creates an empty file that its user alone can read; SQLite gives its side files the same mode.
fn create_file(path: &Path) -> Result<(), OpenError> {
    let created = private(OpenOptions::new().write(true).create_new(true)).open(path);
    match created {
        Ok(_) => {}
        // Another process was faster; what it made is looked at like any other file.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(OpenError::Failed { path: path.to_owned(), reason: error.to_string() }),
    }
    // The name of the file must survive a power cut as well as what it holds.
    path.parent()
        .map_or(Ok(()), sync_folder)
        .map_err(|error| OpenError::Failed { path: path.to_owned(), reason: error.to_string() })
}

/// Makes it durable that the file is empty, where somebody died who created a database and had taken back what
/// he wrote. SQLite removes his journal at once, and of a failed sync his pages may still come: without the
/// journal, nobody would know them for what they are.
///
/// Whoever closes a file drops the locks that SQLite has on it in this process, so no other thread may be at
/// work on an empty one.
fn settle_empty(path: &Path) -> Result<(), OpenError> {
    if !beside(path, "-journal").exists() {
        return Ok(());
    }
    let settled = OpenOptions::new().write(true).open(path).and_then(|file| file.sync_all());
    settled.map_err(|error| OpenError::Failed {
        path: path.to_owned(),
        reason: format!("its empty file cannot be made durable: {error}"),
    })
}

/// Applies the migrations that the database lacks. A new one gets its schema with a rollback journal, so that
/// what tells it as ours is in the file itself before it has a write-ahead log.
fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    // Asked again under the lock, since the look before it saw neither the log nor what others have done by
    // now.
    let identity = identify(&transaction).map_err(failed)?;
    identity.check(path)?;
    if transaction.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        let reason = "its header has a file format that this SQLite does not write".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), reason });
    }
    // Before anything is written behind it, moved into the file or told to anyone.
    renew(path).map_err(|error| OpenError::Failed {
        path: path.to_owned(),
        reason: format!("its write-ahead log cannot be made durable: {error}"),
    })?;
    let lacking = usize::try_from(identity.version).unwrap_or(0)..MIGRATIONS.len();
    if !lacking.is_empty() {
        // A rotten row is carried over as it is, and refused when it is read: the others must not wait for it.
        transaction.pragma_update(None, "ignore_check_constraints", true).map_err(failed)?;
        for migration in &MIGRATIONS[lacking] {
            transaction.execute_batch(migration).map_err(|error| unlike_its_version(path, &error))?;
        }
        transaction.pragma_update(None, "ignore_check_constraints", false).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    let mode = switch_to_wal(connection).map_err(failed)?;
    check_wal(path, &mode)
}

/// The statements are right, so a file that they do not fit is not what its header says.
fn unlike_its_version(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::Unknown) | None => OpenError::Damaged {
            path: path.to_owned(),
            reason: format!("its tables are not those of the schema version in its header: {error}"),
        },
        _ => failed(path, error),
    }
}

/// Asks for a write-ahead log, and says which mode came of it. The statement is stepped to its end, since it
/// commits only there: its row comes before, and rusqlite's functions for pragmas stop at the row.
fn switch_to_wal(connection: &Connection) -> Result<String, rusqlite::Error> {
    let mut statement = connection.prepare("pragma journal_mode = wal")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode)
}

/// Refuses a database that has no write-ahead log; asked once more on a connection of its own.
pub(super) fn check_wal(path: &Path, mode: &str) -> Result<(), OpenError> {
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let reason = format!("SQLite keeps its journal in mode {mode:?} there, not in a write-ahead log");
    Err(OpenError::FileSystem { path: path.to_owned(), reason })
}

pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            let reason = "may this user read and write the file and its folder?".to_owned();
            OpenError::Failed { path, reason }
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, reason },
        _ => OpenError::Failed { path, reason },
    }
}
