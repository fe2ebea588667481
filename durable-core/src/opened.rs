//! The databases that are open in this process. Opening one twice shares one core: a second connection to the
//! same file under another owner would fight the first, and closing it would drop the first one's locks.
//! A file is known by what it is, not by its path, which another file may have by now.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::core::Core;
use crate::error::Error;
use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, OpenError};

static OPENED: Mutex<Vec<(Identity, Durability, Weak<Core>)>> = Mutex::new(Vec::new());

/// The core of the database at `path`: the one that is open, or a new one. Without a wish for its durability
/// any will do.
pub(crate) fn core_at(path: &Path, durability: Option<Durability>) -> Result<Arc<Core>, Error> {
    // Held while a file is opened: two threads that open one file at once must come to one core.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    // What a parent had open before a fork is not this process's.
    let own = |core: &Weak<Core>| core.upgrade().is_some_and(|core| core.check_process().is_ok());
    opened.retain(|(_, _, core)| own(core));
    let known = Identity::of(path);
    let known = opened.iter().find(|(other, ..)| Some(other) == known.as_ref());
    if let Some((open, core)) = known.and_then(|(_, open, core)| Some((*open, core.upgrade()?))) {
        if let Some(asked) = durability.filter(|asked| *asked != open) {
            let path = path.to_owned();
            return Err(Error::Open(Arc::new(OpenError::OtherDurability { path, open, asked })));
        }
        return Ok(core);
    }
    let durability = durability.unwrap_or_default();
    let store = SqliteStore::open_with(path, durability).map_err(|refused| Error::Open(Arc::new(refused)))?;
    let core = Arc::new(Core::new(Box::new(store)).map_err(|source| Error::Read(Arc::new(source)))?);
    if let Some(identity) = Identity::of(path) {
        opened.push((identity, durability, Arc::downgrade(&core)));
    }
    Ok(core)
}

/// What file stands at a path.
#[derive(PartialEq)]
struct Identity {
    path: PathBuf,
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl Identity {
    /// `None` where there is no file, or only a link to one, which is not opened.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        #[cfg(unix)]
        let device_and_inode = {
            use std::os::unix::fs::MetadataExt as _;
            (file.dev(), file.ino())
        };
        #[cfg(not(unix))]
        let _ = file;
        let path = path.canonicalize().ok()?;
        Some(Self {
            path,
            #[cfg(unix)]
            device_and_inode,
        })
    }
}
