//! What may be opened as a database. What may not is named, and stays byte for byte what it was, with nothing
//! beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use durable::store::OpenError;
use durable::store::sqlite::SqliteStore;
use durable::{Engine, step, workflow};
use rusqlite::Connection;

#[step]
fn work(n: u32) -> u32 {
    n + 1
}

#[workflow]
fn working(steps: u32) -> u32 {
    (0..steps).map(work).sum()
}

/// A folder with a database in it that holds a completed run.
fn folder_with_database() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let engine = Engine::open(&path).unwrap();
    working::durable("run", 5).on(&engine).run().unwrap();
    (folder, path)
}

/// Every file below a folder, with what it holds.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Opens what must be refused: the refusal, after the folder is known to be as it was.
#[track_caller]
fn refused(folder: &tempfile::TempDir, path: &Path) -> OpenError {
    let before = contents(folder.path());
    let error = SqliteStore::open(path).expect_err("it must be refused");
    assert_eq!(contents(folder.path()), before, "{error}");
    error
}

#[test]
fn a_file_of_something_else_is_foreign() {
    let long = "no database, but long enough to be taken for one. ".repeat(100);
    for text in ["x", "# notes\n", "SQLite format 3", long.as_str()] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, text).unwrap();
        let error = refused(&folder, &path);
        assert!(
            matches!(error, OpenError::Foreign { .. } | OpenError::Damaged { .. }),
            "{text:.20}: {error}"
        );
    }
}

#[test]
fn a_database_of_another_application_is_foreign() {
    for script in [
        "create table notes (text)",
        "pragma application_id = 7; create table notes (text)",
        "pragma journal_mode = wal; create table notes (text); insert into notes values (1)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch(script).unwrap();
        let error = refused(&folder, &path);
        assert!(matches!(error, OpenError::Foreign { .. }), "{script}: {error}");
        assert!(error.to_string().contains("a SQLite database of another application"), "{error}");
    }
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let (folder, path) = folder_with_database();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = refused(&folder, &path);
    assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

#[test]
fn a_newer_version_that_is_only_in_the_log_is_refused_too() {
    let (folder, path) = folder_with_database();
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("pragma wal_autocheckpoint = 0; pragma user_version = 99;").unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert_eq!(newer.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(), 99);
    drop(folder);
}

#[test]
fn what_is_no_regular_file_of_one_name_is_refused() {
    let (folder, path) = folder_with_database();
    let (link, other, directory) =
        (folder.path().join("link"), folder.path().join("other"), folder.path().join("dir"));
    symlink(&path, &link).unwrap();
    fs::create_dir(&directory).unwrap();
    for (path, found) in [(&link, "a symbolic link"), (&directory, "a directory")] {
        let error = refused(&folder, path);
        assert!(matches!(&error, OpenError::NotAFile { found: said, .. } if said == found), "{error}");
    }
    fs::hard_link(&path, &other).unwrap();
    for path in [&path, &other] {
        let error = refused(&folder, path);
        assert!(error.to_string().contains("a file with 2 names"), "{error}");
    }
    fs::remove_file(&other).unwrap();
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_missing_folder_and_a_file_in_its_place_are_named() {
    let (folder, path) = folder_with_database();
    let error = refused(&folder, &folder.path().join("missing").join("a.db"));
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    let error = refused(&folder, &path.join("b.db"));
    assert!(matches!(error, OpenError::Folder { .. } | OpenError::NotAFile { .. }), "{error}");
    assert!(SqliteStore::open(Path::new("")).is_err());
    assert!(SqliteStore::open(Path::new("/")).is_err());
}

#[test]
fn a_read_only_file_is_refused() {
    let (folder, path) = folder_with_database();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let error = refused(&folder, &path);
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

#[test]
fn an_empty_file_is_taken_as_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, "").unwrap();
    let engine = Engine::open(&path).unwrap();
    assert_eq!(working::durable("run", 2).on(&engine).run().unwrap(), 3);
}

#[test]
fn a_database_that_was_cut_short_is_refused_or_reads_right() {
    let (_folder, path) = folder_with_database();
    let whole = fs::read(&path).unwrap();
    for length in (512..whole.len()).step_by(512) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused(&folder, &path);
        assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Foreign { .. }), "{length}: {error}");
    }
}

#[test]
fn a_flipped_bit_in_the_header_never_gives_a_wrong_value() {
    let (_folder, path) = folder_with_database();
    let whole = fs::read(&path).unwrap();
    for bit in 0..100 * 8 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        match Engine::open(&path) {
            Err(_) => assert_eq!(fs::read(&path).unwrap(), flipped, "bit {bit}"),
            Ok(engine) => {
                if let Ok(steps) = engine.steps("run") {
                    let outputs: Vec<_> = steps.iter().map(|step| step.output.as_str()).collect();
                    assert_eq!(outputs, ["1", "2", "3", "4", "5"], "bit {bit}");
                }
            }
        }
    }
}

#[test]
fn only_its_user_can_read_a_database_and_what_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let engine = Engine::open(&path).unwrap();
    working::durable("run", 1).on(&engine).run().unwrap();
    let files = contents(folder.path());
    assert_eq!(files.len(), 4, "the database, its log, its index, its owner: {:?}", files.keys());
    for file in files.keys() {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_path_may_have_any_characters() {
    for name in
        ["with space", "100%", "what?", "a#b", "quo'te\"", "ünïcödé 👩‍🚀", "new\nline", "file:a?immutable=1"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        for _ in 0..2 {
            let engine = Engine::open(&path).unwrap();
            assert_eq!(working::durable("run", 1).on(&engine).run().unwrap(), 1, "{name}");
        }
        assert_eq!(contents(folder.path()).len(), 1, "{name}");
    }
}

#[test]
fn a_database_made_half_by_a_process_that_died_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    // What is left between the creation of the file and the commit of its schema: the file, and a journal
    // that undoes what was begun.
    fs::write(&path, "").unwrap();
    fs::write(folder.path().join("a.db-journal"), "").unwrap();
    fs::write(folder.path().join("a.db-owner-00ff.new"), "").unwrap();
    let engine = Engine::open(&path).unwrap();
    assert_eq!(working::durable("run", 1).on(&engine).run().unwrap(), 1);
    drop(engine);
    assert_eq!(contents(folder.path()).len(), 1);
}
