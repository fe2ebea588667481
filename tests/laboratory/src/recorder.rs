//! What happens in one folder: every write, sync, truncate and delete of the database and its logs, in one
//! order with what the workload says of itself, and which of them is to go wrong.
//! The one rule: what is recorded is what happened. So an operation holds the recorder from the decision on
//! its fault until it is done, and no two operations of a folder overlap.
//! Knows the codes of SQLite, and none of its functions.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::ffi;

use crate::image::{Disk, Image};
use crate::notes::Note;

/// What the names of files end in that are looked at.
const ENDINGS: [&str; 3] = [".db", "-wal", "-journal"];

/// A file of a trace. A name that was deleted and created again is another file.
pub type FileId = usize;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file got a name.
    Create {
        /// The new file.
        file: FileId,
        /// Its name in the folder.
        name: String,
    },
    /// Bytes were written.
    Write {
        /// Where.
        file: FileId,
        /// From which byte on.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut.
    Truncate {
        /// Which.
        file: FileId,
        /// To how many bytes.
        size: usize,
    },
    /// A sync ended.
    Sync {
        /// Of which file.
        file: FileId,
        /// Whether the folder was synced after it.
        folder: bool,
        /// Whether it did what it should.
        done: bool,
    },
    /// A sync of the folder itself ended.
    SyncFolder {
        /// Whether it did what it should.
        done: bool,
    },
    /// A name was removed.
    Delete {
        /// Which.
        name: String,
        /// Whether the folder was synced after it.
        folder: bool,
    },
    /// The workload said something.
    Said(Note),
}

/// What a folder held when it was first looked at, and all that happened since.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The disk before all of it.
    pub before: Disk,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// What can go wrong, by the operation that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Of bytes to a file.
    Write,
    /// Of a file to the disk.
    Sync,
    /// Of a file.
    Truncate,
    /// Of a name.
    Delete,
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The process is killed by SIGKILL.
    Kill,
    /// The disk fails: the `SQLITE_IOERR_…` of the operation.
    Broken,
    /// The disk is full: `SQLITE_FULL` for a write, and for a sync what a file system says that allocates
    /// late. To truncate and to delete needs no space.
    Full,
}

/// How much of the operation that goes wrong is done all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// Half of the bytes of a write; nothing of any other.
    Half,
    /// All of it.
    All,
}

/// How long it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spell {
    /// Once.
    Once,
    /// Until [`Recorder::heal`].
    ForEver,
}

/// A fault that is planned.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// At which operation, counted from 1.
    pub at: u64,
    /// How long.
    pub spell: Spell,
    /// What.
    pub cause: Cause,
    /// How much is done all the same.
    pub done: Done,
}

impl Fault {
    /// Kills the process at its operation `at`.
    pub fn kill(at: u64, done: Done) -> Self {
        Self { at, spell: Spell::Once, cause: Cause::Kill, done }
    }
}

/// Records one folder. A clone is the same recorder; a folder is left alone once the last one is gone.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<State>>);

/// The state of a recorder.
#[derive(Debug, Default)]
pub(crate) struct State {
    names: HashMap<String, FileId>,
    files: usize,
    trace: Trace,
    operations: u64,
    struck: u64,
    struck_after: Option<usize>,
    fault: Option<Fault>,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Fail(Cause, Done),
}

static FOLDERS: Mutex<Vec<(PathBuf, Weak<Mutex<State>>)>> = Mutex::new(Vec::new());

impl Recorder {
    /// Looks at `folder` from now on, and makes every database that is opened from now on pass here. Syncs
    /// are recorded and left out: what they are for is told by images.
    pub fn watch(folder: &Path) -> Self {
        let mut image = Image::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                image.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        Self::watch_on(folder, Disk::holding(image))
    }

    /// The same, of a folder on a disk that an earlier process left, with what was pending then.
    pub fn watch_on(folder: &Path, disk: Disk) -> Self {
        crate::vfs::install();
        let folder = folder.canonicalize().unwrap();
        let state = State {
            names: disk.names().into_iter().collect(),
            files: disk.files(),
            trace: Trace { before: disk, events: Vec::new() },
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let mut folders = lock(&FOLDERS);
        folders.retain(|(_, state)| state.strong_count() > 0);
        folders.push((folder, Arc::downgrade(&state)));
        Self(state)
    }

    /// The recorder of the folder that holds `path`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let folder = path.parent()?;
        let folders = lock(&FOLDERS);
        let state = folders.iter().rev().find(|(other, _)| other == folder)?.1.upgrade()?;
        Some(Self(state))
    }

    /// Plans a fault; counting goes on from where it is.
    pub fn plan(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Takes the fault away.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How many of them went wrong.
    pub fn struck(&self) -> u64 {
        self.state().struck
    }

    /// After how many events the first of them went wrong.
    pub fn struck_after(&self) -> Option<usize> {
        self.state().struck_after
    }

    /// Records what the workload says.
    pub fn say(&self, note: Note) {
        self.state().record(Event::Said(note));
    }

    /// What the workload has said so far.
    pub fn notes(&self) -> Vec<Note> {
        let said = |event: &Event| match event {
            Event::Said(note) => Some(note.clone()),
            _ => None,
        };
        self.state().trace.events.iter().filter_map(said).collect()
    }

    /// A copy of the trace so far.
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl State {
    pub(crate) fn record(&mut self, event: Event) {
        self.trace.events.push(event);
    }

    /// The file of this name, which is there by now; `created` if it was not there before.
    pub(crate) fn opened(&mut self, name: &str, created: bool) -> FileId {
        if let Some(file) = self.names.get(name).filter(|_| !created) {
            return *file;
        }
        // A database that is there without having been recorded was made by `durable`, which synced its
        // folder.
        let file = self.files;
        self.files += 1;
        self.names.insert(name.to_owned(), file);
        self.record(Event::Create { file, name: name.to_owned() });
        if !created {
            self.record(Event::Sync { file, folder: true, done: true });
        }
        file
    }

    /// Counts an operation, and decides on it.
    pub(crate) fn decide(&mut self, operation: Operation) -> Verdict {
        self.operations += 1;
        let Some(fault) = self.fault else { return Verdict::Go };
        let due = match fault.spell {
            Spell::Once => self.operations == fault.at,
            Spell::ForEver => self.operations >= fault.at,
        };
        let needs_space = matches!(operation, Operation::Write | Operation::Sync);
        if !due || (fault.cause == Cause::Full && !needs_space) {
            return Verdict::Go;
        }
        self.struck += 1;
        self.struck_after.get_or_insert(self.trace.events.len());
        Verdict::Fail(fault.cause, fault.done)
    }

    /// The name is gone.
    pub(crate) fn deleted(&mut self, name: &str, folder: bool) {
        self.names.remove(name);
        self.record(Event::Delete { name: name.to_owned(), folder });
    }
}

impl Cause {
    /// What SQLite is told (sqlite.org/rescode.html).
    pub(crate) fn code(self, operation: Operation) -> i32 {
        match operation {
            Operation::Write if self == Self::Full => ffi::SQLITE_FULL,
            Operation::Write => ffi::SQLITE_IOERR_WRITE,
            Operation::Sync => ffi::SQLITE_IOERR_FSYNC,
            Operation::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Operation::Delete => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
