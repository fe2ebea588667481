//! Opening a database: what a file must be before anything is written to it, and how it comes to the current
//! schema. The one rule: a file that is refused stays byte for byte what it was, and gets no files beside it.
//! So it is looked at first by a connection that can neither write nor lock, and `application_id` is in the
//! file itself before its first write-ahead log exists.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::OpenError;
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

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// So many prepared statements are kept: all of ours.
const STATEMENTS_KEPT: usize = 64;

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
        Found::File if is_being_created(&path) => {}
        Found::File => look_inside(&path)?,
    }
    let mut connection = connect(&path).map_err(|error| failed(&path, &error))?;
    // A log that was left behind may say that the file is to be refused, and is not to be moved into it then.
    keep_log(&path, &connection, has_log(&path))?;
    // For a new file, whatever the linked SQLite was built to do; any other keeps what it has.
    connection.pragma_update(None, "auto_vacuum", 0).map_err(|error| failed(&path, &error))?;
    migrate(&path, &mut connection)?;
    keep_log(&path, &connection, false)?;
    Ok((path, connection))
}

/// Whether the log outlives its last connection.
fn keep_log(path: &Path, connection: &Connection, keep: bool) -> Result<(), OpenError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    set.map(|_| ()).map_err(|error| failed(path, &error))
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
            // SQLite takes a file of one byte for an empty one (`unixFileSize`), and would write over it.
            1 => Err(no_database(path)),
            _ => Ok(Found::File),
        };
    };
    Err(OpenError::NotAFile { path: path.to_owned(), found })
}

/// What the header of a rollback journal starts with, once it counts (sqlite.org/fileformat2.html, section
/// 3).
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Where that header holds the size in pages that the database had before.
const PAGES_BEFORE: std::ops::Range<usize> = 16..20;

/// Whether a rollback journal beside the file says that it was empty: somebody creates a database now, or
/// died while at it. Until the journal is gone the file means nothing, so it is looked at only under SQLite's
/// lock.
fn is_being_created(path: &Path) -> bool {
    let mut header = [0; PAGES_BEFORE.end];
    let read = File::open(beside(path, "-journal")).and_then(|mut journal| journal.read_exact(&mut header));
    read.is_ok() && header.starts_with(&JOURNAL_MAGIC) && header[PAGES_BEFORE] == [0; 4]
}

/// Whether there is a write-ahead log that can hold something.
fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
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

/// Refuses a file that is not ours, without taking a lock or making a file beside it.
fn look_inside(path: &Path) -> Result<(), OpenError> {
    match look_inside_now(path) {
        // A checkpoint that was killed leaves half of its pages in the file, and all of them in the log.
        Err(OpenError::Damaged { .. }) if has_log(path) => Ok(()),
        // Without a log nobody is at work on the file any more, who may have been before: now it tells what
        // it is.
        Err(OpenError::Damaged { .. }) => look_inside_now(path),
        looked => looked,
    }
}

fn look_inside_now(path: &Path) -> Result<(), OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection =
        Connection::open_with_flags(immutable_uri(path), flags).map_err(|error| failed(path, &error))?;
    let looked = identify(&connection).and_then(|identity| Ok((identity, bytes_of(&connection)?)));
    let (identity, bytes_due) = looked.map_err(|error| foreign(path, &error))?;
    identity.check(path)?;
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if bytes < bytes_due {
        let reason = format!("it has {bytes} bytes, and should have {bytes_due}");
        return Err(OpenError::Damaged { path: path.to_owned(), reason });
    }
    Ok(())
}

/// What tells whose database it is.
struct Identity {
    application: i64,
    version: i64,
    objects: i64,
    /// Whether pages are moved at each commit. Ours never are, so a header that says so is rotten, and a
    /// write would do harm.
    vacuums: bool,
}

fn identify(connection: &Connection) -> Result<Identity, rusqlite::Error> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    Ok(Identity {
        application: number("application_id")?,
        version: number("user_version")?,
        objects: connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?,
        vacuums: number("auto_vacuum")? != 0,
    })
}

/// How long the file should be, by its header.
fn bytes_of(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    Ok(u64::from(number("page_count")?) * u64::from(number("page_size")?))
}

impl Identity {
    /// Nothing was ever kept in it.
    fn is_blank(&self) -> bool {
        (self.application, self.version, self.objects, self.vacuums) == (0, 0, 0, false)
    }

    /// Refuses what is neither ours nor blank, and what this program does not know.
    fn check(&self, path: &Path) -> Result<(), OpenError> {
        let Self { application, version, objects, vacuums } = *self;
        let (known, path) = (VERSION, path.to_owned());
        if self.is_blank() {
            Ok(())
        } else if application != i64::from(APPLICATION_ID) {
            let found = format!(
                "a SQLite database of another application (application_id {application}, {objects} objects)"
            );
            Err(OpenError::Foreign { path, found })
        } else if version > known {
            Err(OpenError::Newer { path, found: version, known })
        } else if version < 1 {
            let reason = format!("it has schema version {version}, which no program wrote");
            Err(OpenError::Damaged { path, reason })
        } else if vacuums {
            let reason = "its header says that it vacuums itself, which no program asked for".to_owned();
            Err(OpenError::Damaged { path, reason })
        } else {
            Ok(())
        }
    }
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
    // Asked again under the lock, since the look before it saw neither the log nor what others have done by
    // now.
    let identity = identify(&transaction).map_err(failed)?;
    identity.check(path)?;
    if transaction.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        let reason = "its header has a file format that this SQLite does not write".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), reason });
    }
    let lacking = usize::try_from(identity.version).unwrap_or(0)..MIGRATIONS.len();
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
        Some(ErrorCode::NotADatabase) => no_database(path),
        // The statements are right, so it is the file that SQLite cannot make sense of.
        Some(ErrorCode::Unknown) => OpenError::Damaged { path: path.to_owned(), reason: error.to_string() },
        _ => failed(path, error),
    }
}

fn no_database(path: &Path) -> OpenError {
    OpenError::Foreign { path: path.to_owned(), found: "not a SQLite database at all".to_owned() }
}

pub(super) fn failed(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => OpenError::ReadOnly { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, reason },
        _ => OpenError::Failed { path, reason },
    }
}
