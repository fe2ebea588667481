//! Why a database is not opened: what was found at the path, and what to do.

use std::io;
use std::path::PathBuf;

use super::Durability;

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
    /// This process has it open already, with another durability.
    #[error(
        "{path} is open in this process with durability {open}, and engines of one file share it; open it with that, not with \
         {asked}"
    )]
    OtherDurability {
        /// The database.
        path: PathBuf,
        /// What it is open with.
        open: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// The process was forked from one that had it open, and SQLite's locks do not outlive a fork: what this process wrote could
    /// be lost.
    #[error(
        "{path} was open in process {opened_by} when this one was forked from it, and cannot be used in both; fork before it is \
         opened, or start another program"
    )]
    Forked {
        /// The database.
        path: PathBuf,
        /// The process that had it open.
        opened_by: u32,
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
