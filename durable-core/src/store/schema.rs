//! Opening a database: what a file must be before anything is written to it, and how it comes to the current
//! schema. The one rule: a file that is refused stays byte for byte what it was, and gets no files beside it.
//! So it is looked at first by a connection that can neither write nor lock, and `application_id` is in the
//! file itself before its first write-ahead log exists.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::owner::private;

/// "drbl": what tells our files from other SQLite databases.
const APPLICATION_ID: i32 = 0x6472_626c;

/// The schema, version by version. A released one never changes.
const MIGRATIONS: [&str; 1] = [include_str!("sqlite/0001_steps.sql")];

/// The schema version that this program knows.
const VERSION: i64 = 1;
const _: () = assert!(MIGRATIONS.len() == 1, "VERSION is the number of migrations");

/// The oldest SQLite that is free of the WAL-reset bug (sqlite.org/wal.html, "The WAL-Reset Bug").
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// The smallest page of a SQLite database (sqlite.org/fileformat2.html, "Pages").
const PAGE_BYTES_MIN: u64 = 512;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// So many prepared statements are kept: all of ours.
const STATEMENTS_KEPT: usize = 64;

/// Why a database was not opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such folder, or it cannot be read.
    #[error("the folder of {path} cannot be used: {source}; create it first")]
    Folder {
        /// The database.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The path names something that is not a regular file of one name.
    #[error("{path} is {found}; name a file that is only used as a `durable` database")]
    NotAFile {
        /// The database.
        path: PathBuf,
        /// `a directory`, `a symbolic link`, `a file with 2 names`, …
        found: String,
    },
    /// The file is not a `durable` database.
    #[error("{path} is not a `durable` database: {found}; it was left as it is, name another file")]
    Foreign {
        /// The database.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A later version of `durable` made it.
    #[error(
        "{path} has schema version {found}, this program knows versions up to {known}; run the newer program"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest version that this program knows.
        known: i64,
    },
    /// It is one of ours, and damaged.
    #[error("{path} is damaged: {reason}; it was left as it is, restore a backup")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be written.
    #[error("{path} is read-only; make it writable for this user, or copy it")]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// It, or a file beside it, cannot be opened or created.
    #[error("{path} cannot be opened: {reason}")]
    Failed {
        /// The database.
        path: PathBuf,
        /// What the system or SQLite said.
        reason: String,
    },
    /// The file system gives one lock to two holders, or no write-ahead log.
    #[error("{path} is on a file system that cannot hold it: {reason}; use a local disk")]
    FileSystem {
        /// The database.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// The SQLite that is linked is too old.
    #[error(
        "SQLite {found} is linked, and versions before 3.51.3 can corrupt a database; use the `bundled` feature"
    )]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
}

/// Looks at the file at `path`, creates it if there is none, and brings it to the current schema. Its
/// canonical path and a connection that writes.
pub(super) fn open(path: &Path) -> Result<(PathBuf, Connection), OpenError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    let path = canonical(path)?;
    match look(&path)? {
        Found::Nothing => create_file(&path)?,
        Found::Empty => {}
        Found::File => look_inside(&path)?,
    }
    let mut connection = connect(&path).map_err(|error| failed(&path, &error))?;
    migrate(&path, &mut connection)?;
    Ok((path, connection))
}

/// A connection that writes, set up as every one is.
pub(super) fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
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

/// The path with its folder resolved, so that one file has one name.
fn canonical(path: &Path) -> Result<PathBuf, OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = |found: &str| OpenError::NotAFile { path: path.to_owned(), found: found.to_owned() };
    let name = path.file_name().ok_or_else(|| found("no file name"))?;
    let folder =
        folder.canonicalize().map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
    if !folder.is_dir() {
        return Err(found("in a place that is no folder"));
    }
    Ok(folder.join(name))
}

enum Found {
    Nothing,
    Empty,
    File,
}

/// What stands at `path`, without opening it.
fn look(path: &Path) -> Result<Found, OpenError> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(OpenError::Failed { path: path.to_owned(), reason: error.to_string() }),
    };
    let found = if file.is_symlink() {
        "a symbolic link".to_owned()
    } else if file.is_dir() {
        "a directory".to_owned()
    } else if !file.is_file() {
        "no regular file".to_owned()
    } else if names(&file) > 1 {
        // The write-ahead log belongs to a name, so a second name would not see it.
        format!("a file with {} names (hard links)", names(&file))
    } else if file.permissions().readonly() {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    } else {
        return match file.len() {
            0 => Ok(Found::Empty),
            // SQLite takes a file without a whole page for an empty one, and would write over it.
            bytes if bytes < PAGE_BYTES_MIN => {
                Err(OpenError::Foreign { path: path.to_owned(), found: format!("a file of {bytes} bytes") })
            }
            _ => Ok(Found::File),
        };
    };
    Err(OpenError::NotAFile { path: path.to_owned(), found })
}

#[cfg(unix)]
fn names(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
fn names(_file: &fs::Metadata) -> u64 {
    1
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
    let synced =
        path.parent().map_or(Ok(()), |folder| File::open(folder).and_then(|folder| folder.sync_all()));
    synced.map_err(|error| OpenError::Failed { path: path.to_owned(), reason: error.to_string() })
}

/// Refuses a file that is not ours, by a connection that takes no lock and makes no side file.
fn look_inside(path: &Path) -> Result<(), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection =
        Connection::open_with_flags(immutable_uri(path), flags).map_err(|error| failed(path, &error))?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let looked = number("application_id").and_then(|id| {
        let objects =
            connection.query_row("select count(*) from sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok((id, number("user_version")?, objects, number("page_count")?, number("page_size")?))
    });
    let (id, version, objects, pages, page_bytes) = looked.map_err(|error| foreign(path, &error))?;
    if id == 0 && version == 0 && objects == 0 {
        return Ok(());
    }
    if id != i64::from(APPLICATION_ID) {
        let found =
            format!("a SQLite database of another application (application_id {id}, {objects} objects)");
        return Err(OpenError::Foreign { path: path.to_owned(), found });
    }
    check_version(path, version)?;
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if i64::try_from(bytes).unwrap_or(i64::MAX) < pages.saturating_mul(page_bytes) {
        let reason = format!("it has {bytes} bytes, and should have {pages} pages of {page_bytes}");
        return Err(OpenError::Damaged { path: path.to_owned(), reason });
    }
    Ok(())
}

fn check_version(path: &Path, version: i64) -> Result<(), OpenError> {
    let known = VERSION;
    if version > known {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    }
    Ok(())
}

/// The file as SQLite opens it without locks and without looking at a log beside it.
fn immutable_uri(path: &Path) -> String {
    let escaped = path.as_os_str().as_encoded_bytes().iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("file:{}?immutable=1", escaped.collect::<String>())
}

/// Applies the migrations that the database lacks. A new one gets its schema with a rollback journal, so that
/// what tells it as ours is in the file itself before it has a write-ahead log.
fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let version: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    check_version(path, version)?;
    let lacking = usize::try_from(version).unwrap_or(0)..MIGRATIONS.len();
    if !lacking.is_empty() {
        for migration in &MIGRATIONS[lacking] {
            transaction.execute_batch(migration).map_err(failed)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    let mode = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    check_wal(path, &mode.map_err(failed)?)
}

/// Refuses a database that has no write-ahead log; asked once more on a connection of its own.
pub(super) fn check_wal(path: &Path, mode: &str) -> Result<(), OpenError> {
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let reason = format!("SQLite keeps its journal in mode {mode:?} there, not in a write-ahead log");
    Err(OpenError::FileSystem { path: path.to_owned(), reason })
}

/// What an error means while the file is still unknown.
fn foreign(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            OpenError::Foreign { path: path.to_owned(), found: "not a SQLite database at all".to_owned() }
        }
        _ => failed(path, error),
    }
}

pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, reason },
        _ => OpenError::Failed { path, reason },
    }
}
