//! Who owns a run on this machine: whoever holds the lock on the file that the owner is named after.
//! The operating system frees it the moment the process is gone, and holds it while the process is stopped,
//! so neither clocks nor process numbers take part. A name is never used twice, and a file has its name only
//! once it is locked, so a missing file means that its owner is dead.

mod kept;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::kept::Kept;
pub(crate) use self::kept::{let_go, opened_by_parent};
use crate::draw;
use crate::store::OwnerId;

/// What stands between the name of the database and the owner's own part.
const MARK: &str = "-owner-";

/// What the name of the gate of a database ends in.
const GATE: &str = "-gate";

/// What a lock file ends in until it is locked.
const UNLOCKED: &str = ".new";

/// So many hexadecimal digits an owner's own part of the name has.
const ID_DIGITS: usize = 32;

/// So often a new name is tried before the folder is given up.
const ATTEMPTS_MAX: u32 = 10;

/// The lock of one opened database. Dropped, its owner is dead.
#[derive(Debug)]
pub(crate) struct Owner {
    id: OwnerId,
    path: PathBuf,
    opened_by: u32,
    _locked: Kept,
}

/// Lets one process after another write to a database. SQLite's own lock is asked for again and again with pauses
/// between, so whoever has just had it gets it again, and others wait for seconds or give up; here the system
/// wakes those who wait. Writers that do not come this way meet at SQLite's lock as ever.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    file: Kept,
    turns: u32,
    opened_by: u32,
}

/// So many turns pass between two looks whether the file has been removed: until then two gates may be open at
/// once, which is unfair and nothing else.
const TURNS_PER_LOOK: u32 = 64;

/// That this process may write; dropped, the next one may.
pub(crate) struct Turn(Option<Arc<File>>);

impl Gate {
    /// The gate of the database at `database`.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let database = std::path::absolute(database)?;
        let mut path = database.clone().into_os_string();
        path.push(GATE);
        let path = PathBuf::from(path);
        let file = Kept::new(&database, Self::open(&path)?);
        Ok(Self { path, file, turns: 0, opened_by: std::process::id() })
    }

    fn open(path: &Path) -> io::Result<File> {
        private(OpenOptions::new().write(true).create(true).truncate(false)).open(path)
    }

    /// Waits for this process's turn. Where the system refuses, SQLite's own lock has to do.
    pub(crate) fn turn(&mut self) -> Turn {
        for _ in 0..ATTEMPTS_MAX {
            let turn = Turn(self.file.file());
            if let Some(file) = &turn.0 {
                _ = locked(|| file.lock());
            }
            self.turns = self.turns.wrapping_add(1);
            if self.turns % TURNS_PER_LOOK != 1 || self.is_in_place() {
                return turn;
            }
            // Whoever was here last has removed it meanwhile, so others may stand at another one.
            match Self::open(&self.path) {
                Ok(file) => self.file.replace(file),
                Err(_) => return turn,
            }
        }
        Turn(self.file.file())
    }

    /// Whether the file that is open is the one with this name.
    #[cfg(unix)]
    fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let Some(file) = self.file.file() else { return false };
        let (open, named) = (file.metadata(), fs::metadata(&self.path));
        matches!((open, named), (Ok(open), Ok(named)) if (open.dev(), open.ino()) == (named.dev(), named.ino()))
    }

    #[cfg(not(unix))]
    fn is_in_place(&self) -> bool {
        true
    }
}

impl Drop for Gate {
    /// Whoever leaves last removes it. A gate is empty: what is not was somebody's before.
    fn drop(&mut self) {
        let is_own = std::process::id() == self.opened_by && cfg!(unix);
        let Some(file) = self.file.file().filter(|_| is_own) else { return };
        let is_gate = || file.metadata().is_ok_and(|file| file.len() == 0);
        if is_gate() && file.try_lock().is_ok() && self.is_in_place() {
            _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            _ = file.unlock();
        }
    }
}

/// Finds out which owners of one database live.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    database: PathBuf,
}

impl Owners {
    /// The owners of the database at `database`.
    pub(crate) fn of(database: &Path) -> Self {
        Self { database: database.to_owned() }
    }

    /// Becomes an owner, and proves that the folder's locks hold.
    ///
    /// `Ok(None)`: a second handle could lock the file too, so locks mean nothing on this file system.
    pub(crate) fn join(&self) -> io::Result<Option<Owner>> {
        let mut last = io::Error::other("no name could be taken");
        for _ in 0..ATTEMPTS_MAX {
            let id = format!("{:016x}{:016x}", draw::fresh(), draw::fresh());
            match self.take(OwnerId(id.into())) {
                Ok(owner) if self.lives(&owner.id)? => return Ok(Some(owner)),
                Ok(_) => return Ok(None),
                // Somebody swept the file away before it was locked, or has the name: take another one.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) =>
                {
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Becomes the owner of this name.
    fn take(&self, id: OwnerId) -> io::Result<Owner> {
        debug_assert!(is_id(&id.0), "a sweep would not know it: {id}");
        let path = self.path_of(&id.0);
        let unlocked = self.path_of(&format!("{id}{UNLOCKED}"));
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&unlocked)?;
        locked(|| file.lock()).and_then(|()| fs::rename(&unlocked, &path)).inspect_err(|_| {
            // The next attempt has another name, so nobody would come back to this one.
            _ = fs::remove_file(&unlocked);
        })?;
        let locked = Kept::new(&self.database, file);
        Ok(Owner { id, path, opened_by: std::process::id(), _locked: locked })
    }

    /// Whether `owner` holds its lock.
    pub(crate) fn lives(&self, owner: &OwnerId) -> io::Result<bool> {
        match File::open(self.path_of(&owner.0)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            // Shared, so that two who ask at once do not take each other for the owner.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }

    /// Waits until `owner` is dead: the system wakes whoever asks for its lock. Where the system refuses to
    /// wait, returns at once; the caller asks again whether it lives.
    pub(crate) fn await_death(&self, owner: &OwnerId) {
        // Shared, so that whoever waits and dies itself, or asks at the same time, is not taken for the owner.
        if let Ok(file) = File::open(self.path_of(&owner.0)) {
            _ = file.lock_shared();
        }
    }

    /// Puts `text` into the file of `owner`, for the other processes to read.
    pub(crate) fn tell(&self, owner: &OwnerId, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.path_of(&owner.0))?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())
    }

    /// What the living owners but `own` have in their files.
    pub(crate) fn told(&self, own: &OwnerId) -> Vec<String> {
        let others = self.ids().into_iter().filter(|id| id != own && matches!(self.lives(id), Ok(true)));
        others.filter_map(|id| fs::read_to_string(self.path_of(&id.0)).ok()).collect()
    }

    /// Removes the files of owners that are dead. What cannot be removed stays, and means as little.
    pub(crate) fn sweep(&self) {
        for id in self.ids() {
            if matches!(self.lives(&id), Ok(false)) {
                _ = fs::remove_file(self.path_of(&id.0));
            }
        }
    }

    /// The owners that have a file, living or dead.
    fn ids(&self) -> Vec<OwnerId> {
        let Some((folder, database)) = self.database.parent().zip(self.database.file_name()) else {
            return Vec::new();
        };
        let id = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let own = name.as_encoded_bytes().strip_prefix(database.as_encoded_bytes())?;
            let id = str::from_utf8(own.strip_prefix(MARK.as_bytes())?).ok()?;
            is_id(id.strip_suffix(UNLOCKED).unwrap_or(id)).then(|| OwnerId(id.into()))
        };
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(id).collect()
    }

    fn path_of(&self, id: &str) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push(MARK);
        name.push(id);
        name.into()
    }
}

impl Owner {
    pub(crate) fn id(&self) -> &OwnerId {
        &self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A forked child has only a copy of the owner. Unlocked or removed, the one is as good as the other.
        if std::process::id() == self.opened_by {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether this is an owner's own part of a name. A file that is called otherwise is not an owner's, whatever its
/// name begins with, and is neither opened nor removed.
fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Asks for a lock until it is had or refused: a signal whose handler does not restart calls ends the wait.
fn locked(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// Makes what is created readable by its user alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn an_owner_lives_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::of(&folder.path().join("a.db"));
        let owner = owners.join().unwrap().unwrap();
        let id = owner.id().clone();
        assert!(owners.lives(&id).unwrap());
        owners.sweep();
        assert!(owners.lives(&id).unwrap(), "a sweep leaves the living alone");
        let other = owners.join().unwrap().unwrap();
        owners.tell(&id, "a\tb\n").unwrap();
        owners.tell(&id, "c\td\n").unwrap();
        assert_eq!(
            (owners.told(other.id()), owners.told(&id)),
            (vec!["c\td\n".to_owned()], vec![String::new()])
        );
        drop(other);
        drop(owner);
        assert!(!owners.lives(&id).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    // What cannot be opened says nothing of its owner, who may well live. Here a folder on the way to it is a file.
    #[test]
    fn an_owner_that_cannot_be_asked_is_not_taken_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let owners = Owners::of(&folder.path().join("file").join("a.db"));
        assert!(owners.lives(&OwnerId("somebody".into())).is_err());
    }

    // A sweep takes a file that is not locked yet for one of the dead. Here there are as many sweeps as one owner
    // bears, and they may all strike one.
    #[test]
    fn an_owner_that_is_swept_before_it_has_its_lock_takes_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::of(&folder.path().join("a.db"));
        let sweeps_left = AtomicU32::new(ATTEMPTS_MAX - 1);
        let is_over = || sweeps_left.load(Ordering::Relaxed) == 0;
        let sweep = || {
            let unlocked = owners.ids().into_iter().find(|id| id.0.ends_with(UNLOCKED));
            if unlocked.is_some_and(|id| fs::remove_file(owners.path_of(&id.0)).is_ok()) {
                sweeps_left.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let joined: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over() {
                    sweep();
                }
            });
            std::iter::from_fn(|| (!is_over()).then(|| owners.join().map(|owner| owner.is_some()))).collect()
        });
        let refused: Vec<_> = joined.iter().filter(|joined| !matches!(joined, Ok(true))).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }

    #[test]
    fn one_gate_lets_one_through_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Gate::of(&folder.path().join("a.db")).unwrap();
        let (mut first, mut second) = (open(), open());
        let (passed, through) = std::sync::mpsc::channel();
        let turn = first.turn();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _turn = second.turn();
                passed.send(()).unwrap();
            });
            assert!(open().file.file().unwrap().try_lock().is_err(), "it is closed");
            assert!(through.try_recv().is_err());
            drop(turn);
            through.recv().unwrap();
        });
    }

    #[test]
    fn a_gate_that_was_removed_is_made_anew_and_the_last_one_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let mut first = Gate::of(&database).unwrap();
        drop(Gate::of(&database).unwrap());
        assert!(!first.is_in_place(), "the other one thought itself the last");
        let turn = first.turn();
        assert!(first.is_in_place());
        drop(Gate::of(&database).unwrap());
        assert!(first.is_in_place(), "it is in use");
        drop(turn);
        drop(first);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    // A look is a call of the system, and a turn of a lone process has none to spare.
    #[test]
    fn a_gate_looks_for_its_file_once_in_so_many_turns() {
        let folder = tempfile::tempdir().unwrap();
        let mut gate = Gate::of(&folder.path().join("a.db")).unwrap();
        drop(gate.turn());
        fs::remove_file(&gate.path).unwrap();
        for _ in 1..TURNS_PER_LOOK {
            drop(gate.turn());
            assert!(!gate.is_in_place());
        }
        drop(gate.turn());
        assert!(gate.is_in_place());
    }

    #[test]
    fn a_file_that_nobody_locks_is_of_a_dead_owner_and_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::of(&folder.path().join("a.db"));
        let (dead, half) = ("0".repeat(ID_DIGITS), "f".repeat(ID_DIGITS));
        for name in [&format!("a.db-owner-{dead}"), &format!("a.db-owner-{half}.new"), "a.db"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(!owners.lives(&OwnerId(dead.into())).unwrap());
        owners.sweep();
        assert_eq!(names(folder.path()), ["a.db"]);
    }

    /// Bug: opening `a.db` removed every file whose name begins with `a.db-owner-`, and `a.db-gate`, another
    /// database among them. Cause: the sweep and the gate asked for no more than that. Fix: a sweep takes the
    /// names that owners have, a gate an empty file.
    #[test]
    fn what_only_begins_like_the_name_of_a_lock_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let digits = "0".repeat(ID_DIGITS);
        let others = [
            "notes",
            "old.db",
            &digits[1..],
            &format!("{digits}0"),
            &format!("{digits}.db"),
            &"G".repeat(32),
        ]
        .map(|end| format!("a.db-owner-{end}"));
        let others = others.into_iter().chain([format!("b.db-owner-{digits}"), "a.db-gate".into()]);
        let mut others: Vec<_> = others.collect();
        others.sort();
        for name in &others {
            fs::write(folder.path().join(name), "mine").unwrap();
        }
        Owners::of(&database).sweep();
        drop(Gate::of(&database).unwrap());
        assert_eq!(names(folder.path()), others);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_owners_of_a_database_whose_name_is_no_text_are_found_and_swept() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::of(&folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.db")));
        let (one, other) = (owners.join().unwrap().unwrap(), owners.join().unwrap().unwrap());
        owners.tell(one.id(), "a\tb\n").unwrap();
        assert_eq!(owners.told(other.id()), ["a\tb\n"]);
        fs::write(owners.path_of(&"0".repeat(ID_DIGITS)), "").unwrap();
        owners.sweep();
        assert_eq!(names(folder.path()).len(), 2);
    }

    /// Bug: each opening that failed here left a file behind. Cause: only a success removed the first name.
    #[test]
    fn a_name_that_cannot_be_taken_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::of(&folder.path().join("a.db"));
        let blocked = owners.path_of(&"0".repeat(ID_DIGITS));
        fs::create_dir(&blocked).unwrap();
        assert!(owners.take(OwnerId("0".repeat(ID_DIGITS).into())).is_err());
        assert_eq!(names(folder.path()).len(), 1);
    }

    #[test]
    fn a_lock_is_asked_for_again_after_a_signal() {
        let mut answers = vec![Ok(()), Err(io::ErrorKind::Interrupted.into())];
        locked(|| answers.pop().unwrap()).unwrap();
        assert!(answers.is_empty());
        assert!(locked(|| Err(io::ErrorKind::Unsupported.into())).is_err());
    }

    fn names(folder: &Path) -> Vec<String> {
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }
}
