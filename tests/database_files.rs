//! What `Engine::open` makes of a file: it opens it, or refuses it with the right error and leaves it byte
//! for byte as it was.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::store::OpenError;
use durable::{Engine, Error, step, workflow};
use tempfile::TempDir;

#[step]
fn double(n: u32) -> u32 {
    n * 2
}

#[workflow]
fn doubled(n: u32) -> u32 {
    double(n)
}

/// All files of a folder with what they hold.
fn snapshot(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| fs::metadata(entry.path()).is_ok_and(|file| file.is_file()));
    files.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with a closed database `a.db` that holds the run `a`.
fn database() -> (TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("a.db");
    assert_eq!(doubled::durable("a", 21).on(&Engine::open(&path).unwrap()).run().unwrap(), 42);
    (folder, path)
}

fn open(path: &Path) -> Result<Engine, Arc<OpenError>> {
    Engine::open(path).map_err(|error| match error {
        Error::Open(refused) => refused,
        other => panic!("{other}"),
    })
}

/// Why `path` is refused; its folder stays as it was.
#[track_caller]
fn refused(path: &Path) -> Arc<OpenError> {
    let folder = path.parent().unwrap();
    let before = snapshot(folder);
    let error = open(path).err().unwrap_or_else(|| panic!("{} was opened", path.display()));
    assert!(snapshot(folder) == before, "the folder has changed; {error}");
    error
}

/// `path` is refused with `text`, in which `{}` stands for its name.
#[track_caller]
fn check_refused(path: &Path, is: fn(&OpenError) -> bool, text: &str) {
    let error = refused(path);
    assert!(is(&error), "{error:?}");
    assert_eq!(error.to_string(), text.replace("{}", path.to_str().unwrap()));
}

/// `path` opens, and a run works there.
#[track_caller]
fn check_opens(path: &Path) {
    assert_eq!(doubled::durable("other", 2).on(&open(path).unwrap()).run().unwrap(), 4);
    assert_eq!(open(path).unwrap().run("other").unwrap().unwrap().output.as_deref(), Some("4"));
}

macro_rules! is {
    ($variant:ident) => {
        |error| matches!(error, OpenError::$variant { .. })
    };
}

#[test]
fn a_text_is_refused() {
    let folder = folder();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
    let text = "{} is not a `durable` database: not a SQLite database at all; it was left as it is, name another file";
    check_refused(&path, is!(Foreign), text);
}

#[test]
fn garbage_of_any_length_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.db");
    for bytes in (1..=1_100).chain([4_095, 4_096, 4_097, 8_192, 65_536]) {
        let garbage: Vec<u8> =
            (0..=u8::MAX).map(|i| i.wrapping_mul(167).wrapping_add(13)).cycle().take(bytes).collect();
        fs::write(&path, garbage).unwrap();
        let error = refused(&path);
        assert!(matches!(*error, OpenError::Foreign { .. }), "{bytes} bytes: {error}");
    }
}

#[test]
fn the_database_of_another_application_is_refused() {
    for wal in [false, true] {
        let folder = folder();
        let path = folder.path().join("a.db");
        let other = rusqlite::Connection::open(&path).unwrap();
        if wal {
            other.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).unwrap();
        }
        other.execute_batch("create table t (x); insert into t values (1)").unwrap();
        drop(other);
        let text = "{} is not a `durable` database: a SQLite database of another application (application_id 0, \
                    1 objects); it was left as it is, name another file";
        check_refused(&path, is!(Foreign), text);
    }
}

#[test]
fn a_database_of_another_application_that_is_in_use_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("create table t (x); begin exclusive; insert into t values (1)").unwrap();
    let error = refused(&path);
    assert!(matches!(*error, OpenError::Foreign { .. }), "{error}");
    other.execute_batch("commit").unwrap();
}

const NEWER: &str = "{} has schema version 4, this program knows versions up to 3; run the newer program";

#[test]
fn a_newer_schema_is_refused() {
    let (_folder, path) = database();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    check_refused(&path, is!(Newer), NEWER);
}

/// The newer program was killed: its version stands in the log alone.
#[test]
fn a_newer_schema_that_is_only_in_the_log_is_refused() {
    let (folder, path) = database();
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 4).unwrap();
    let killed = tempfile::tempdir().unwrap();
    for (name, bytes) in snapshot(folder.path()) {
        fs::write(killed.path().join(name), bytes).unwrap();
    }
    let path = killed.path().join("a.db");
    let kept = || {
        let mut files = snapshot(killed.path());
        // The index of the log is made anew by whoever reads the log first.
        files.insert("a.db-shm".into(), Vec::new());
        files
    };
    let before = kept();
    for _ in 0..2 {
        let error = open(&path).unwrap_err();
        assert!(matches!(*error, OpenError::Newer { .. }), "{error}");
        assert_eq!(error.to_string(), NEWER.replace("{}", path.to_str().unwrap()));
        assert!(kept() == before, "the folder has changed");
    }
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    check_opens(&path);
}

// Bug: a file whose schema was damaged was refused, and yet its log was moved into it. Cause: the first
// statement of a connection reads the schema, and the connection was told only after it to leave the log alone
// when it is closed. Fix: it is told before.
#[test]
fn a_log_is_not_moved_into_a_file_whose_schema_is_damaged() {
    let (folder, path) = database();
    let killed = tempfile::tempdir().unwrap();
    let engine = open(&path).unwrap();
    doubled::durable("b", 1).on(&engine).run().unwrap();
    for name in ["a.db", "a.db-wal"] {
        fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
    }
    let path = killed.path().join("a.db");
    let mut bytes = fs::read(&path).unwrap();
    // Statements of tables that were made anew lie about too, and mean nothing.
    for at in 0..bytes.len() - 12 {
        if bytes[at..].starts_with(b"CREATE TABLE") {
            bytes[at] ^= 1;
        }
    }
    fs::write(&path, bytes).unwrap();
    let mut before = snapshot(killed.path());
    let error = open(&path).unwrap_err();
    assert!(matches!(*error, OpenError::Damaged { .. }), "{error}");
    let mut after = snapshot(killed.path());
    for files in [&mut before, &mut after] {
        files.remove(&OsString::from("a.db-shm"));
    }
    assert!(after == before, "the folder has changed");
}

#[test]
fn a_version_that_no_program_wrote_is_damage() {
    for version in [0, -1] {
        let (_folder, path) = database();
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        let error = refused(&path);
        assert!(matches!(*error, OpenError::Damaged { .. }), "{error}");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let (folder, file) = database();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    let rest = "; name a file that is only used as a `durable` database";
    check_refused(&at("folder"), is!(NotAFile), &format!("{{}} is a directory{rest}"));
    std::os::unix::fs::symlink(&file, at("link")).unwrap();
    check_refused(&at("link"), is!(NotAFile), &format!("{{}} is a symbolic link{rest}"));
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
    check_refused(&at("dangling"), is!(NotAFile), &format!("{{}} is a symbolic link{rest}"));
    fs::hard_link(&file, at("second")).unwrap();
    let text = format!("{{}} is a file with 2 names (hard links){rest}");
    check_refused(&at("second"), is!(NotAFile), &text);
    check_refused(&file, is!(NotAFile), &text);
    fs::remove_file(at("second")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    check_refused(&at("socket"), is!(NotAFile), &format!("{{}} is no regular file{rest}"));
    drop(socket);
    check_opens(&file);
}

#[test]
fn a_folder_that_cannot_hold_a_file_is_named() {
    let (folder, file) = database();
    let error = open(&folder.path().join("missing").join("a.db")).unwrap_err();
    assert!(matches!(*error, OpenError::Folder { .. }), "{error}");
    assert!(error.to_string().ends_with("; create it first"), "{error}");
    let error = open(&file.join("a.db")).unwrap_err();
    assert!(matches!(*error, OpenError::NotAFile { .. } | OpenError::Folder { .. }), "{error}");
    for path in ["", "/", "..", "."] {
        let error = open(Path::new(path)).unwrap_err();
        assert!(matches!(*error, OpenError::NotAFile { .. } | OpenError::Folder { .. }), "{path:?}: {error}");
    }
}

#[test]
fn a_folder_reached_by_a_symbolic_link_is_the_same_folder() {
    let (folder, path) = database();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    let engine = open(&folder.path().join("link").join("a.db")).unwrap();
    assert_eq!(engine.runs().count(), 1);
    assert_eq!(open(&path).unwrap().runs().count(), 1);
}

#[test]
fn a_read_only_file_is_refused() {
    let (_folder, path) = database();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    check_refused(&path, is!(ReadOnly), "{} is read-only; make it writable for this user, or copy it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    check_opens(&path);
}

#[test]
fn an_empty_file_is_adopted() {
    let folder = folder();
    let path = folder.path().join("a.db");
    fs::write(&path, "").unwrap();
    check_opens(&path);
}

#[test]
fn a_sqlite_database_with_nothing_in_it_is_adopted() {
    let folder = folder();
    let path = folder.path().join("a.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("vacuum").unwrap();
    check_opens(&path);
}

#[test]
fn a_path_may_have_any_characters() {
    let folder = folder();
    for name in [
        "a b.db",
        "100%.db",
        "50%41.db",
        "a?mode=memory",
        "a#b",
        "it's \"it\"",
        "ünïcødé 👩‍🚀",
        "file:a.db",
        ":memory:",
        "a;b&c=d+e",
        "-a",
        "a\nb",
    ] {
        let path = folder.path().join(name);
        check_opens(&path);
        assert!(path.is_file(), "{name}");
        // Once more, since an existing file is looked at by way of a URI.
        check_opens(&path);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(snapshot(folder.path()).len(), 0, "no other file was made");
}

#[test]
fn a_file_that_is_cut_is_refused() {
    let (folder, path) = database();
    let whole = fs::read(&path).unwrap();
    for bytes in (512..whole.len()).step_by(512) {
        fs::write(&path, &whole[..bytes]).unwrap();
        let error = refused(&path);
        assert!(matches!(*error, OpenError::Damaged { .. } | OpenError::Foreign { .. }), "{bytes}: {error}");
    }
    fs::write(&path, &whole).unwrap();
    check_opens(&path);
    assert_eq!(snapshot(folder.path()).len(), 1);
}

fn integrity(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap()
}

/// Each bit of the header on its own: the file is refused and unchanged, or what was recorded reads as it
/// was.
#[test]
fn a_flipped_bit_of_the_header_is_refused_or_harmless() {
    let (folder, path) = database();
    let whole = fs::read(&path).unwrap();
    let mut refusals = BTreeMap::<&str, u32>::new();
    for bit in 0..800 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        match open(&path) {
            Ok(engine) => {
                let run = engine.run("a").unwrap().unwrap_or_else(|| panic!("bit {bit}: the run is gone"));
                assert_eq!(run.output.as_deref(), Some("42"), "bit {bit}");
                assert_eq!(doubled::durable("b", 1).on(&engine).run().unwrap(), 2, "bit {bit}");
                drop(engine);
                // SQLite looks at the list of free pages when it takes one from it, and at the kind of vacuum
                // only if there is one.
                let looked_at = !matches!(bit / 8, 32..40 | 64..68);
                assert!(!looked_at || integrity(&path) == "ok", "bit {bit}");
            }
            Err(error) => {
                assert!(snapshot(folder.path()).into_values().eq([flipped]), "bit {bit}: {error}");
                let variant = match *error {
                    OpenError::Foreign { .. } => "foreign",
                    OpenError::Newer { .. } => "newer",
                    OpenError::Damaged { .. } => "damaged",
                    OpenError::ReadOnly { .. } => "read-only",
                    _ => panic!("bit {bit}: {error}"),
                };
                *refusals.entry(variant).or_default() += 1;
            }
        }
    }
    assert!(refusals["foreign"] >= 160 && refusals["newer"] >= 29, "{refusals:?}");
}

/// A transaction that fills an empty file stops in its middle: some pages are in the file, and the journal
/// says that it was empty.
fn stopped_creation(name: &str) -> (TempDir, PathBuf) {
    let (source, target) = (folder(), folder());
    let creator = rusqlite::Connection::open(source.path().join(name)).unwrap();
    creator.execute_batch("pragma cache_size = 10; begin immediate; create table t (x)").unwrap();
    for _ in 0..100 {
        creator.execute("insert into t values (zeroblob(3000))", []).unwrap();
    }
    for (name, bytes) in snapshot(source.path()) {
        assert!(!bytes.is_empty(), "pages were written early, since the cache is small");
        fs::write(target.path().join(name), bytes).unwrap();
    }
    let path = target.path().join(name);
    (target, path)
}

#[test]
fn a_creation_that_was_killed_is_made_anew() {
    let (folder, path) = stopped_creation("a.db");
    assert!(folder.path().join("a.db-journal").is_file());
    check_opens(&path);
    assert_eq!(snapshot(folder.path()).len(), 1);
    // The first page had not been written.
    let (_folder, path) = stopped_creation("a.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..4_096].fill(0);
    fs::write(&path, bytes).unwrap();
    check_opens(&path);
    // Nothing had.
    let (_folder, path) = stopped_creation("a.db");
    fs::write(&path, "").unwrap();
    check_opens(&path);
}

#[test]
fn a_journal_that_counts_for_nothing_saves_no_foreign_file() {
    let folder = folder();
    let path = folder.path().join("a.db");
    fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
    for journal in ["", "x", &"x".repeat(600), &"\0".repeat(600)] {
        fs::write(folder.path().join("a.db-journal"), journal).unwrap();
        assert!(matches!(*refused(&path), OpenError::Foreign { .. }));
    }
}

/// Killed within a checkpoint: the header counts pages that are in the log and not yet in the file.
#[test]
fn a_file_that_a_checkpoint_did_not_finish_is_opened() {
    let (folder, path) = database();
    let engine = open(&path).unwrap();
    let before = fs::read(&path).unwrap().len();
    let checkpointer = rusqlite::Connection::open(&path).unwrap();
    for i in 0..40 {
        doubled::durable(format!("run {i}"), i).on(&engine).run().unwrap();
    }
    let log = fs::read(folder.path().join("a.db-wal")).unwrap();
    checkpointer.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(())).unwrap();
    let killed = tempfile::tempdir().unwrap();
    let path = killed.path().join("a.db");
    let whole = fs::read(folder.path().join("a.db")).unwrap();
    assert!(whole.len() > before);
    for bytes in (before..whole.len()).step_by(4_096) {
        fs::write(&path, &whole[..bytes]).unwrap();
        fs::write(killed.path().join("a.db-wal"), &log).unwrap();
        assert_eq!(open(&path).unwrap().runs().flatten().count(), 41);
        fs::remove_file(&path).unwrap();
    }
}

/// The name of the test that a child process runs instead of its assertions, and the file that it is about.
const CHILD: &str = "DURABLE_TEST_DATABASE";

/// This test again, as a process of its own whose files are for everybody unless asked for otherwise.
fn child(test: &str, path: &Path) -> std::process::Output {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, path).output().unwrap()
}

#[test]
fn all_files_are_for_their_user_alone() {
    if let Some(path) = std::env::var_os(CHILD) {
        let engine = open(Path::new(&path)).unwrap();
        doubled::durable("a", 1).on(&engine).run().unwrap();
        std::process::abort();
    }
    let folder = folder();
    let path = folder.path().join("a.db");
    child("all_files_are_for_their_user_alone", &path);
    let names = snapshot(folder.path());
    assert_eq!(names.len(), 5, "the database, its log and its index, a lock and a gate: {:?}", names.keys());
    for name in names.keys() {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name:?}");
    }
    // The child was aborted, with everything in the log.
    let engine = open(&path).unwrap();
    assert_eq!(engine.run("a").unwrap().unwrap().output.as_deref(), Some("2"));
}

/// Whether this user may write where the mode says that nobody may, as root may.
fn ignores_modes(folder: &Path) -> bool {
    let probe = folder.join("probe");
    let wrote = fs::write(&probe, "").is_ok();
    wrote && fs::remove_file(probe).is_ok()
}

/// Shows nothing under root, for whom no folder is read-only.
#[test]
fn a_folder_that_is_read_only_is_refused() {
    let (folder, path) = database();
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    if !ignores_modes(folder.path()) {
        for path in [&path, &folder.path().join("new.db")] {
            let error = refused(path);
            assert!(matches!(*error, OpenError::Failed { .. } | OpenError::ReadOnly { .. }), "{error}");
        }
    }
    mode(0o700);
    check_opens(&path);
}

/// The header and the schema are whole, so the file is opened; what cannot be read is an error, and no other
/// value.
#[test]
fn a_page_of_garbage_is_told_when_it_is_read() {
    let (_folder, path) = database();
    let root = |table: &str| {
        let select = "select rootpage from sqlite_schema where name = ?1";
        let other = rusqlite::Connection::open(&path).unwrap();
        other.query_row(select, [table], |row| row.get::<_, u16>(0)).map(usize::from).unwrap()
    };
    let whole = fs::read(&path).unwrap();
    for (table, text) in [
        ("workflows", "workflow \"a\" stopped: the store cannot be used: database disk image is malformed"),
        ("epochs", "workflow \"new\" stopped: the store cannot be used: database disk image is malformed"),
    ] {
        let (mut rotten, page) = (whole.clone(), root(table));
        rotten[(page - 1) * 4_096..page * 4_096].fill(0xa5);
        fs::write(&path, rotten).unwrap();
        let engine = open(&path).unwrap();
        let id = if table == "workflows" { "a" } else { "new" };
        assert_eq!(doubled::durable(id, 21).on(&engine).run().unwrap_err().to_string(), text);
        drop(engine);
        fs::write(&path, &whole).unwrap();
    }
    check_opens(&path);
}
