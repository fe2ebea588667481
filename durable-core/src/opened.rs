//! The databases that are open in this process. Opening one twice shares one core: a second connection to the
//! same file under another owner would fight the first, and closing it would drop the first one's locks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::core::Core;
use crate::error::Error;
use crate::store::sqlite::SqliteStore;

static OPENED: Mutex<Vec<(PathBuf, Weak<Core>)>> = Mutex::new(Vec::new());

/// The core of the database at `path`: the one that is open, or a new one.
pub(crate) fn core_at(path: &Path) -> Result<Arc<Core>, Error> {
    // Held while a file is opened: two threads that open one file at once must come to one core.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    opened.retain(|(_, core)| core.strong_count() > 0);
    let known = path.canonicalize().ok();
    let open = opened.iter().find(|(other, _)| Some(other) == known.as_ref());
    if let Some(core) = open.and_then(|(_, core)| core.upgrade()) {
        return Ok(core);
    }
    let store = SqliteStore::open(path).map_err(|refused| Error::Open(Arc::new(refused)))?;
    let core = Arc::new(Core::new(Box::new(store)).map_err(|source| Error::Read(Arc::new(source)))?);
    if let Ok(path) = path.canonicalize() {
        opened.push((path, Arc::downgrade(&core)));
    }
    Ok(core)
}
