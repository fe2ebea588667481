//! What stands at the path of a database, told before anything is written there.
//! The one rule: a look changes nothing and takes no lock, so what it finds half written is judged only if
//! nobody can be at work on it; otherwise [`Identity`] is asked again under SQLite's lock.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{APPLICATION_ID, OpenError, VERSION, failed};

/// The path with its folder resolved, so that one file has one name.
pub(super) fn canonical(path: &Path) -> Result<PathBuf, OpenError> {
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

pub(super) enum Found {
    Nothing,
    Empty,
    File,
}

/// What stands at `path`, without opening it.
pub(super) fn look(path: &Path) -> Result<Found, OpenError> {
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
pub(super) fn is_being_created(path: &Path) -> bool {
    let mut header = [0; PAGES_BEFORE.end];
    let read = File::open(beside(path, "-journal")).and_then(|mut journal| journal.read_exact(&mut header));
    read.is_ok() && header.starts_with(&JOURNAL_MAGIC) && header[PAGES_BEFORE] == [0; 4]
}

/// Whether there is a write-ahead log that can hold something.
pub(super) fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// The file of this suffix that belongs to the database at `path`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
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

/// Refuses a file that is not ours, without taking a lock or making a file beside it.
pub(super) fn look_inside(path: &Path) -> Result<(), OpenError> {
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
pub(super) struct Identity {
    application: i64,
    pub(super) version: i64,
    objects: i64,
    /// Whether pages are moved at each commit. Ours never are, so a header that says so is rotten, and a
    /// write would do harm.
    vacuums: bool,
}

pub(super) fn identify(connection: &Connection) -> Result<Identity, rusqlite::Error> {
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
    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
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
