//! A SQLite file system over the one named "unix" (sqlite.org/vfs.html): files of a folder that is watched
//! pass by its recorder, all others go straight through, and so do locks, reads and the shared memory of the
//! write-ahead log. The only room of the repository with `unsafe` in it.
//! What is done to a watched file without SQLite, by `std::fs`, passes by too: this program's `write`, `fsync` and
//! `flock` are the ones below, not the C library's.
//! The one rule: the real functions get what the real ones were made for, which are the real file that lies
//! behind ours in memory and, in `xOpen` and `xDelete`, the real file system.
#![expect(unsafe_code, reason = "a SQLite file system is a table of C functions")]

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_FCNTL_PDB, SQLITE_FCNTL_PRAGMA, SQLITE_FULL, SQLITE_IOERR, SQLITE_OK,
    SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_WAL, sqlite3, sqlite3_file, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register, sqlite3_wal_autocheckpoint,
};

use crate::recorder::{Cause, Done, Event, FileId, Operation, Recorder, State, Verdict};

/// One of our open files; the real one lies behind it.
#[repr(C)]
struct File {
    base: sqlite3_file,
    /// Null where nobody looks at the file.
    watch: *mut Watch,
}

/// What an open file tells its recorder.
struct Watch {
    recorder: Recorder,
    file: FileId,
    /// The first sync of a new log syncs the folder too (`UNIXFILE_DIRSYNC` in SQLite's `os_unix.c`).
    syncs_folder: bool,
    /// The connection, until it was asked for checkpoints.
    database: *mut sqlite3,
}

/// The file system that is called in the end.
struct Real(*mut sqlite3_vfs);

// SAFETY: SQLite lets every thread call a registered file system, never frees or moves it, and we only read
// it.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

/// So many pages in the log are moved to the database by the commit that adds the last of them. SQLite's own
/// 1,000 would leave checkpoints, and logs that begin anew, to long runs alone.
const CHECKPOINT_PAGES: c_int = 10;

/// Makes our file system the default of this process, once.
pub(crate) fn install() {
    REAL.get_or_init(|| {
        // SAFETY: the names end in a zero byte. What is found is registered for the life of the process; a
        // copy of it is ours to change. `register` keeps the pointer, so the copy is leaked.
        unsafe {
            let real = sqlite3_vfs_find(c"unix".as_ptr());
            assert!(!real.is_null(), "SQLite has no file system named unix");
            let ours = Box::leak(Box::new(*real));
            ours.szOsFile += c_int::try_from(size_of::<File>()).unwrap_or(c_int::MAX);
            ours.pNext = std::ptr::null_mut();
            ours.zName = c"laboratory".as_ptr();
            ours.xOpen = Some(open);
            ours.xDelete = Some(delete);
            assert_eq!(sqlite3_vfs_register(ours, 1), SQLITE_OK);
            Real(real)
        }
    });
}

fn real() -> *mut sqlite3_vfs {
    REAL.get().map_or(std::ptr::null_mut(), |real| real.0)
}

/// The functions of our files. SQLite asks a table of version 3 for all of them.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a name that ends in a zero byte (or none, for a temporary file) and lives while
    // the file is open, and room for `szOsFile` bytes, of which the first are ours and the rest the real
    // file's.
    unsafe {
        let ours = file.cast::<File>();
        (*ours).base.pMethods = std::ptr::null();
        (*ours).watch = std::ptr::null_mut();
        let kinds = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
        let path = path_of(name).filter(|_| flags & kinds != 0);
        let watched = path.and_then(|path| Some((Recorder::of(path)?, path.file_name()?.to_str()?)));
        let existed = path.is_some_and(exists);
        let Some(real_open) = (*real()).xOpen else { return SQLITE_CANTOPEN };
        let code = real_open(real(), name, real_file(file), flags, out_flags);
        if code != SQLITE_OK {
            return code;
        }
        (*ours).base.pMethods = &raw const METHODS;
        if let Some((recorder, name)) = watched {
            let id = recorder.state().opened(name, !existed);
            let syncs_folder = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL) != 0;
            (*ours).watch = Box::into_raw(Box::new(Watch {
                recorder,
                file: id,
                syncs_folder,
                database: std::ptr::null_mut(),
            }));
        }
        SQLITE_OK
    }
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite gives a name that ends in a zero byte; the real function gets it with its own file
    // system.
    unsafe {
        let Some(real_delete) = (*real()).xDelete else { return SQLITE_IOERR };
        let watched = path_of(name).and_then(|path| Some((Recorder::of(path)?, path.file_name()?.to_str()?)));
        let Some((recorder, file)) = watched.filter(|_| path_of(name).is_some_and(exists)) else {
            return real_delete(real(), name, sync_folder);
        };
        operate(&mut recorder.state(), Operation::Delete, |state, part| {
            if part != Part::All {
                return SQLITE_OK;
            }
            // Whether the folder is synced is recorded, and left out like every sync.
            let code = real_delete(real(), name, 0);
            if code == SQLITE_OK {
                state.deleted(file, sync_folder != 0);
            }
            code
        })
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the file was opened by `open` and is closed once, so its watch is ours to free.
    unsafe {
        let code = match methods(file).xClose {
            Some(close) => close(real_file(file)),
            None => SQLITE_OK,
        };
        let watch = std::mem::replace(&mut (*file.cast::<File>()).watch, std::ptr::null_mut());
        if !watch.is_null() {
            drop(Box::from_raw(watch));
        }
        code
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: the file is one of ours, open, and not used by two threads at once; SQLite gives `amount`
    // bytes.
    unsafe {
        let Some(real_write) = methods(file).xWrite else { return SQLITE_IOERR };
        let Some(watch) = (*file.cast::<File>()).watch.as_ref() else {
            return real_write(real_file(file), bytes, amount, offset);
        };
        operate(&mut watch.recorder.state(), Operation::Write, |state, part| {
            let amount = match part {
                Part::None => return SQLITE_OK,
                Part::Half => amount / 2,
                Part::All => amount,
            };
            let code = real_write(real_file(file), bytes, amount, offset);
            if code == SQLITE_OK {
                let bytes =
                    std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(amount).unwrap_or(0));
                let offset = usize::try_from(offset).unwrap_or(0);
                state.record(Event::Write { file: watch.file, offset, bytes: bytes.to_vec() });
            }
            code
        })
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: the file is one of ours, open, and not used by two threads at once.
    unsafe {
        let Some(real_truncate) = methods(file).xTruncate else { return SQLITE_IOERR };
        let Some(watch) = (*file.cast::<File>()).watch.as_ref() else {
            return real_truncate(real_file(file), size);
        };
        operate(&mut watch.recorder.state(), Operation::Truncate, |state, part| {
            if part != Part::All {
                return SQLITE_OK;
            }
            let code = real_truncate(real_file(file), size);
            if code == SQLITE_OK {
                let size = usize::try_from(size).unwrap_or(0);
                state.record(Event::Truncate { file: watch.file, size });
            }
            code
        })
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is one of ours, open, and not used by two threads at once.
    unsafe {
        let Some(real_sync) = methods(file).xSync else { return SQLITE_IOERR };
        let Some(watch) = (*file.cast::<File>()).watch.as_mut() else {
            return real_sync(real_file(file), flags);
        };
        let (id, folder) = (watch.file, watch.syncs_folder);
        let mut done = false;
        let code = operate(&mut watch.recorder.state(), Operation::Sync, |state, part| {
            done = part == Part::All;
            state.record(Event::Sync { file: id, folder, done });
            SQLITE_OK
        });
        watch.syncs_folder &= !done;
        code
    }
}

/// Asks a connection for checkpoints when it runs its first pragma: only once it is open has SQLite set its
/// own number of pages.
unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: the file is one of ours and open. `SQLITE_FCNTL_PDB` brings a pointer to the connection, which
    // outlives its files; `SQLITE_FCNTL_PRAGMA` is sent by that connection, on its thread.
    unsafe {
        if let Some(watch) = (*file.cast::<File>()).watch.as_mut() {
            if op == SQLITE_FCNTL_PDB {
                watch.database = *argument.cast();
            } else if op == SQLITE_FCNTL_PRAGMA && !watch.database.is_null() {
                // Again with each pragma, since one of them may be the store's own number.
                sqlite3_wal_autocheckpoint(watch.database, CHECKPOINT_PAGES);
            }
        }
        forward_control(file, op, argument)
    }
}

/// How much of an operation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    None,
    Half,
    All,
}

thread_local! {
    /// Whether what this thread writes is seen by a function of ours already.
    static SEEN: Cell<bool> = const { Cell::new(false) };
}

/// What `std::fs` calls to write. To a watched file it is an operation like SQLite's own.
#[cfg(target_os = "linux")]
#[unsafe(export_name = "write")]
unsafe extern "C" fn std_write(fd: c_int, bytes: *const c_void, amount: usize) -> isize {
    let real = |amount: usize| {
        // SAFETY: the caller gives `amount` bytes, and part of them is no more; the system call is the one
        // that the C library's function makes.
        let written = unsafe { libc::syscall(libc::SYS_write, fd, bytes, amount) };
        isize::try_from(written).unwrap_or(-1)
    };
    let Some((recorder, name)) = watched(fd) else { return real(amount) };
    let mut written = 0;
    let code = operate(&mut recorder.state(), Operation::Write, |state, part| {
        let amount = match part {
            Part::None => return SQLITE_OK,
            Part::Half => amount / 2,
            Part::All => amount,
        };
        // SAFETY: as above; a place in a file is a number.
        let offset = unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
        written = real(amount);
        let Ok(done) = usize::try_from(written) else { return SQLITE_IOERR };
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), done) }.to_vec();
        let file = state.opened(&name, false);
        state.record(Event::Write { file, offset: usize::try_from(offset).unwrap_or(0), bytes });
        SQLITE_OK
    });
    if code == SQLITE_OK { written } else { failed(code) as isize }
}

/// What `std::fs` calls to sync. The sync of a watched file or folder is recorded, and left out like SQLite's.
#[cfg(target_os = "linux")]
#[unsafe(export_name = "fsync")]
unsafe extern "C" fn std_fsync(fd: c_int) -> c_int {
    let (recorder, name) = match (watched(fd), folder(fd)) {
        (Some((recorder, name)), _) => (recorder, Some(name)),
        (None, Some(recorder)) => (recorder, None),
        (None, None) => {
            // SAFETY: the system call is the one that the C library's function makes.
            let code = unsafe { libc::syscall(libc::SYS_fsync, fd) };
            return c_int::try_from(code).unwrap_or(-1);
        }
    };
    let code = operate(&mut recorder.state(), Operation::Sync, |state, part| {
        let done = part == Part::All;
        let event = match &name {
            Some(name) => Event::Sync { file: state.opened(name, false), folder: false, done },
            None => Event::SyncFolder { done },
        };
        state.record(event);
        SQLITE_OK
    });
    if code == SQLITE_OK { 0 } else { failed(code) }
}

thread_local! {
    /// Whether this thread gets every lock that it asks for.
    static FAKES_LOCKS: Cell<bool> = const { Cell::new(false) };
}

/// What `std::fs` calls to lock. SQLite's own locks are of another kind.
#[cfg(target_os = "linux")]
#[unsafe(export_name = "flock")]
extern "C" fn std_flock(fd: c_int, operation: c_int) -> c_int {
    if FAKES_LOCKS.get() {
        return 0;
    }
    // SAFETY: the call takes two numbers, and is the one that the C library's function makes.
    let code = unsafe { libc::syscall(libc::SYS_flock, fd, operation) };
    c_int::try_from(code).unwrap_or(-1)
}

/// Calls `with` as on a file system that gives one lock to many: whatever lock this thread asks for, it gets.
#[cfg(target_os = "linux")]
pub fn with_faked_locks<R>(with: impl FnOnce() -> R) -> R {
    FAKES_LOCKS.set(true);
    let returned = with();
    FAKES_LOCKS.set(false);
    returned
}

/// Says what a failed operation is called outside SQLite.
#[cfg(target_os = "linux")]
fn failed(code: c_int) -> c_int {
    // SAFETY: the place of this thread's error number is always there.
    unsafe { *libc::__errno_location() = if code == SQLITE_FULL { libc::ENOSPC } else { libc::EIO } };
    -1
}

/// The path of an open file, if no function of ours sees to it already.
#[cfg(target_os = "linux")]
fn path_of_open(fd: c_int) -> Option<PathBuf> {
    if SEEN.get() { None } else { std::fs::read_link(format!("/proc/self/fd/{fd}")).ok() }
}

/// The recorder of an open database or log, and its name. No journal is written without SQLite.
#[cfg(target_os = "linux")]
fn watched(fd: c_int) -> Option<(Recorder, String)> {
    let path = path_of_open(fd)?;
    let name =
        path.file_name()?.to_str().filter(|name| ["-wal", ".db"].iter().any(|end| name.ends_with(end)))?;
    Some((Recorder::of(&path)?, name.to_owned()))
}

/// The recorder of an open folder.
#[cfg(target_os = "linux")]
fn folder(fd: c_int) -> Option<Recorder> {
    Recorder::of(&path_of_open(fd)?.join("any"))
}

/// Does as much of an operation as its verdict wants, and says what became of it.
fn operate(state: &mut State, operation: Operation, act: impl FnOnce(&mut State, Part) -> c_int) -> c_int {
    let (part, cause) = match state.decide(operation) {
        Verdict::Go => (Part::All, None),
        Verdict::Fail(cause, Done::Nothing) => (Part::None, Some(cause)),
        Verdict::Fail(cause, Done::Half) => (Part::Half, Some(cause)),
        Verdict::Fail(cause, Done::All) => (Part::All, Some(cause)),
    };
    SEEN.set(true);
    let code = act(state, part);
    SEEN.set(false);
    let Some(cause) = cause else { return code };
    match cause {
        Cause::Kill => kill_this_process(),
        _ if code != SQLITE_OK => code,
        _ => cause.code(operation),
    }
}

/// Takes the file system of `folder` away as a power cut does: what is pending is never written, and the file
/// system's own log neither (`FS_IOC_SHUTDOWN`, which ext4 took from XFS, with `NOLOGFLUSH`).
#[cfg(target_os = "linux")]
pub fn cut_power(folder: &Path) -> std::io::Result<()> {
    const SHUTDOWN: libc::Ioctl = 0x8004_587d;
    let no_log_flush: u32 = 2;
    let folder = std::fs::File::open(folder)?;
    // SAFETY: the folder is open, and the call reads one number of 32 bits, which outlives it.
    let code = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const no_log_flush) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Lets no file of this process grow beyond so many bytes, or any again. What would write beyond them is told so
/// from now on, where the system's own way is to end the process (`SIGXFSZ`).
#[cfg(target_os = "linux")]
pub fn limit_files(bytes: Option<u64>) {
    let limit =
        libc::rlimit { rlim_cur: bytes.unwrap_or(libc::RLIM_INFINITY), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: to ignore a signal runs no code of ours, and the limit outlives the call that reads it.
    let code = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(code, 0, "a limit that only goes down and up again below the most");
}

/// Splits this process in two. All that the new one does is `child`; it ends with that, and cleans nothing up.
///
/// The new process has the calling thread alone, so what other threads had locked at that moment stays locked there: `child`
/// must wait for none of it.
#[cfg(target_os = "linux")]
pub fn fork(child: impl FnOnce()) {
    // SAFETY: the call takes nothing. The new process goes on with this thread, whose memory is whole, in a copy of all of it;
    // what another thread was changing it had locked, which is still locked there. The C library's own locks are free there.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            // A panic must not go on into what is the other process's to do.
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: it takes a number, and returns to nobody.
            unsafe { libc::_exit(i32::from(ended.is_err())) }
        }
        _ => {}
    }
}

/// Ends this process the way that runs nothing of it any more.
fn kill_this_process() -> ! {
    // SAFETY: neither function touches memory; the signal cannot be caught.
    unsafe {
        libc::kill(libc::getpid(), libc::SIGKILL);
    }
    // The signal may reach the process a moment later.
    loop {
        std::thread::park();
    }
}

/// The real file behind one of ours.
unsafe fn real_file(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `szOsFile` made room for both, and the size of ours is a multiple of its alignment, which no
    // file's exceeds.
    unsafe { file.cast::<File>().add(1).cast() }
}

/// The functions of the real file behind one of ours.
unsafe fn methods<'f>(file: *mut sqlite3_file) -> &'f sqlite3_io_methods {
    // SAFETY: the real file was opened, so it has its functions, which are static.
    unsafe { &*(*real_file(file)).pMethods }
}

/// The path that a name of SQLite's is.
unsafe fn path_of<'n>(name: *const c_char) -> Option<&'n Path> {
    // SAFETY: a name is null or ends in a zero byte, and outlives the call that it was given to.
    (!name.is_null()).then(|| unsafe { Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes())) })
}

/// Whether there is a file of this name. SQLite's own answer calls an empty file none.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Functions that only call the real file's.
macro_rules! forward {
    ($($name:ident = $method:ident($($argument:ident: $type:ty),*);)+) => { $(
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: the file is one of ours and open, and the arguments are what SQLite gave for it.
            unsafe {
                match methods(file).$method {
                    Some(method) => method(real_file(file) $(, $argument)*),
                    None => SQLITE_IOERR,
                }
            }
        }
    )+ };
}

forward! {
    read = xRead(bytes: *mut c_void, amount: c_int, offset: sqlite3_int64);
    file_size = xFileSize(size: *mut sqlite3_int64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    check_reserved_lock = xCheckReservedLock(locked: *mut c_int);
    forward_control = xFileControl(op: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    device_characteristics = xDeviceCharacteristics();
    shm_map = xShmMap(region: c_int, size: c_int, extend: c_int, memory: *mut *mut c_void);
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int);
    shm_unmap = xShmUnmap(delete: c_int);
    fetch = xFetch(offset: sqlite3_int64, amount: c_int, memory: *mut *mut c_void);
    unfetch = xUnfetch(offset: sqlite3_int64, memory: *mut c_void);
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: the file is one of ours, and open.
    unsafe {
        if let Some(barrier) = methods(file).xShmBarrier {
            barrier(real_file(file));
        }
    }
}
