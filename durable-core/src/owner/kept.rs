//! Files that this process keeps open for their locks. A fork copies what is open, and the system frees a lock only once nobody
//! has its file any more; SQLite's own locks are not copied, and a copy of SQLite does not notice
//! (sqlite.org/howtocorrupt.html, 2.6).
//! The one rule: a process that was forked keeps no lock of its parent's once it learns of it, and uses no database that
//! its parent had open.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What is kept open, in this process and in those that it was forked from.
static KEPT: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

type Slot = Mutex<Option<Arc<File>>>;

struct Entry {
    process: u32,
    database: PathBuf,
    slot: Weak<Slot>,
}

/// An open file. Dropped, it is closed; a process that was forked meanwhile drops nothing.
#[derive(Debug)]
pub(super) struct Kept(Arc<Slot>);

impl Kept {
    /// Keeps `file`, which is locked for `database`.
    pub(super) fn new(database: &Path, file: File) -> Self {
        Self::of(std::process::id(), database, file)
    }

    fn of(process: u32, database: &Path, file: File) -> Self {
        let slot = Arc::new(Mutex::new(Some(Arc::new(file))));
        let database = database.to_owned();
        let mut kept = kept();
        kept.retain(|entry| entry.slot.strong_count() > 0);
        kept.push(Entry { process, database, slot: Arc::downgrade(&slot) });
        Self(slot)
    }

    /// The file; none in a process that let go of it.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        content(&self.0).clone()
    }

    /// Keeps `file` instead.
    pub(super) fn replace(&self, file: File) {
        *content(&self.0) = Some(Arc::new(file));
    }
}

/// Closes the files that were copied from the process that this one was forked from: it may die before this one.
pub(crate) fn let_go() {
    let process = std::process::id();
    for entry in kept().iter().filter(|entry| entry.process != process) {
        // One that a thread of the parent's was at cannot be had, and stays open.
        if let Some(slot) = entry.slot.upgrade()
            && let Ok(mut file) = slot.try_lock()
        {
            *file = None;
        }
    }
}

/// The process that had `database` open when this one was forked from it, if there is one.
pub(crate) fn opened_by_parent(database: &Path) -> Option<u32> {
    let process = std::process::id();
    let of_parent = |entry: &&Entry| entry.process != process && entry.slot.strong_count() > 0;
    kept().iter().filter(of_parent).find(|entry| entry.database == database).map(|entry| entry.process)
}

fn kept() -> MutexGuard<'static, Vec<Entry>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn content(slot: &Slot) -> MutexGuard<'_, Option<Arc<File>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_opened_is_let_go_of_and_still_known() {
        let folder = tempfile::tempdir().unwrap();
        let database = |name: &str| folder.path().join(name);
        let file = |name: &str| File::create(database(name)).unwrap();
        let own = Kept::new(&database("own.db"), file("own"));
        // No process but the first one of a system has this number, and none of its children opens a database.
        let other = Kept::of(0, &database("other.db"), file("other"));
        let_go();
        assert!(own.file().is_some() && other.file().is_none());
        let known = |name| opened_by_parent(&database(name));
        assert_eq!((known("own.db"), known("other.db"), known("none.db")), (None, Some(0), None));
        drop(other);
        assert_eq!(known("other.db"), None, "it was closed before the fork");
    }

    #[test]
    fn a_file_is_kept_until_another_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let kept = Kept::new(folder.path(), file("first"));
        let first = kept.file().unwrap();
        first.lock().unwrap();
        kept.replace(file("second"));
        kept.file().unwrap().try_lock().unwrap();
        let again = File::open(folder.path().join("first")).unwrap();
        assert!(again.try_lock().is_err(), "who has it keeps it");
        drop(first);
        again.try_lock().unwrap();
    }
}
