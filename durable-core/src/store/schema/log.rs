//! A write-ahead log that an earlier process left, made durable before anything rests on it.
//! The one rule: nobody trusts a log for being readable. A sync that failed leaves bytes that every process
//! reads and no later sync writes ("Can Applications Recover from fsync Failures?", Rebello et al., USENIX
//! ATC 2020); only what is written again is written. So all of it is, with its own bytes.
//! Knows nothing of what stands in a log. Opens no other file of the database: closing one that SQLite locks
//! would drop those locks, and logs carry none.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::look::beside;

/// So much is written at once, however long the log is.
const BLOCK_BYTES: usize = 1 << 20;

/// Writes the log of the database at `path` anew and syncs it, and its name. Nobody else may write to it
/// meanwhile: the caller holds SQLite's lock for writers.
pub(super) fn renew(path: &Path) -> io::Result<()> {
    let mut log = match OpenOptions::new().read(true).write(true).open(beside(path, "-wal")) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let bytes = log.metadata()?.len();
    if bytes == 0 {
        return Ok(());
    }
    let mut block = Vec::new();
    let mut at = 0;
    while at < bytes {
        block.resize(usize::try_from(bytes - at).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES)), 0);
        log.read_exact(&mut block)?;
        log.seek(SeekFrom::Start(at))?;
        log.write_all(&block)?;
        at += block.len() as u64;
    }
    log.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
