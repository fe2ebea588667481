//! What the store in a file adds: it is there after the engine is gone, and one file has one core in a
//! process.

mod support;

use durable::store::RunStatus;
use durable::{Engine, Error, step, workflow};
use support::{Log, Switches};

#[step]
fn work(name: &str) -> Result<String, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[workflow]
fn two_steps() -> Result<String, String> {
    Ok(work("first")? + &work("second")?)
}

#[test]
fn a_run_goes_on_from_the_file_of_an_engine_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let open = || support::builder(&log, &switches).open(&path).unwrap();
    switches.set("second");
    two_steps::durable("a").on(&open()).run().unwrap_err();
    switches.clear();
    assert_eq!(two_steps::durable("a").on(&open()).run().unwrap(), "FIRSTSECOND");
    assert_eq!(two_steps::durable("a").on(&open()).run().unwrap(), "FIRSTSECOND");
    assert_eq!(log.lines(), ["first", "second", "second"]);
    let engine = open();
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Completed);
    drop(engine);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["runs.db"], "no file beside it is left behind");
}

#[test]
fn engines_of_one_file_in_one_process_share_its_core() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let first = support::builder(&log, &switches).open(&path).unwrap();
    let second = Engine::open(folder.path().join(".").join("runs.db")).unwrap();
    two_steps::durable("a").on(&first).run().unwrap();
    assert_eq!(second.runs().count(), 1);
    assert!(second.reset("a").unwrap());
    assert!(first.run("a").unwrap().is_none());
}

#[test]
fn a_damaged_row_halts_its_run_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let open = || support::builder(&log, &switches).open(&path).unwrap();
    switches.set("second");
    for id in ["a", "b"] {
        two_steps::durable(id).on(&open()).run().unwrap_err();
    }
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute("update steps set output = '\"FORGED\"' where workflow_id = 'a' and step_key = 'work_0'", [])
        .unwrap();
    switches.clear();
    let engine = open();
    let error = two_steps::durable("a").on(&engine).run().unwrap_err();
    assert!(error.to_string().contains("the row \"a, work_0\" of table steps cannot be read"), "{error}");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    assert_eq!(two_steps::durable("b").on(&engine).run().unwrap(), "FIRSTSECOND");
    database.execute("update steps set checksum = null where workflow_id = 'a'", []).unwrap();
    assert_eq!(two_steps::durable("a").on(&engine).run().unwrap(), "FORGEDSECOND");
    assert!(engine.steps("a").unwrap()[0].edited);
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let error = Engine::open("/nowhere/at/all/runs.db").unwrap_err();
    assert!(matches!(error, Error::Open(_)));
    assert!(
        error
            .to_string()
            .starts_with("failed to open the store: the folder of /nowhere/at/all/runs.db cannot be used"),
        "{error}"
    );
}

#[test]
fn a_run_whose_own_row_is_damaged_can_be_reset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let engine = support::builder(&log, &switches).open(&path).unwrap();
    two_steps::durable("a").on(&engine).run().unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("update workflows set status = 'FAILED'", []).unwrap();
    let error = two_steps::durable("a").on(&engine).run().unwrap_err();
    assert!(error.to_string().contains("the row \"a\" of table workflows cannot be read"), "{error}");
    assert!(engine.reset("a").unwrap());
    assert_eq!(two_steps::durable("a").on(&engine).run().unwrap(), "FIRSTSECOND");
}

#[test]
fn a_file_that_took_the_place_of_an_open_one_is_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let first = support::builder(&log, &switches).open(&path).unwrap();
    two_steps::durable("a").on(&first).run().unwrap();
    for file in std::fs::read_dir(&folder).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let second = Engine::open(&path).unwrap();
    assert_eq!(second.runs().count(), 0);
}

#[test]
fn a_link_to_an_open_database_is_refused_as_any_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("runs.db"), folder.path().join("link.db"));
    let _open = Engine::open(&path).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = Engine::open(&link).unwrap_err();
    assert!(error.to_string().contains("is a symbolic link"), "{error}");
}

#[test]
fn a_log_whose_database_is_gone_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("runs.db"), folder.path().join("runs.db-wal"));
    std::fs::write(&log, "what was not moved into the file yet").unwrap();
    for file in [None, Some("")] {
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let error = Engine::open(&path).unwrap_err();
        assert!(error.to_string().contains("put the file back, or remove the log too"), "{error}");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "what was not moved into the file yet");
    }
    std::fs::remove_file(&log).unwrap();
    Engine::open(&path).unwrap();
}

#[test]
fn a_damaged_step_can_be_dropped_by_a_rewind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (log, switches) = (Log::default(), Switches::default());
    let engine = support::builder(&log, &switches).open(&path).unwrap();
    assert_eq!(two_steps::durable("a").on(&engine).run().unwrap(), "FIRSTSECOND");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("update steps set output = '\"FORGED\"' where step_key = 'work_1'", []).unwrap();
    assert!(engine.steps("a").is_err());
    assert_eq!(engine.rewind("a", "work_1").unwrap(), 1);
    assert_eq!(two_steps::durable("a").on(&engine).run().unwrap(), "FIRSTSECOND");
    assert_eq!(log.lines(), ["first", "second", "second"]);
}
