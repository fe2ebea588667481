//! A run keeps the version of the source that started it.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use durable::{step, workflow};
use support::{Log, engine};

#[step]
fn fails() -> Result<(), String> {
    if durable::resource::<Log>().count("ready") == 0 { Err("not ready".into()) } else { Ok(()) }
}

mod first {
    use durable::workflow;

    #[workflow(name = "sell")]
    pub(crate) fn sell() -> Result<Option<u32>, String> {
        super::fails()?;
        Ok(durable::version())
    }
}

mod second {
    use durable::workflow;

    /// Two programs cannot be linked into one, so its name differs and its rows are renamed.
    #[workflow(name = "sell-2", version = 2)]
    pub(crate) fn sell() -> Result<Option<u32>, String> {
        super::fails()?;
        Ok(durable::version())
    }
}

#[workflow(version = 7)]
fn inner() -> Option<u32> {
    durable::version()
}

#[workflow(version = 3)]
async fn outer() -> (Option<u32>, Option<u32>, Option<u32>) {
    (durable::version(), inner(), inner::run_durable("inner").unwrap())
}

#[test]
fn a_run_has_the_version_that_it_was_started_with_also_after_it_failed() {
    let (engine, log, _) = engine();
    first::sell::durable("one").on(&engine).run().unwrap_err();
    second::sell::durable("two").on(&engine).run().unwrap_err();
    log.push("ready");
    assert_eq!(first::sell::durable("one").on(&engine).run().unwrap(), None);
    assert_eq!(second::sell::durable("two").on(&engine).run().unwrap(), Some(2));
    assert_eq!(engine.run("two").unwrap().unwrap().version, Some(2));
}

/// The newer program goes on with what the older one started.
#[test]
fn a_newer_source_tells_a_run_of_the_older_one_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let log = Log::default();
    let open = || durable::Engine::builder().with(log.clone()).open(&path).unwrap();
    first::sell::durable("one").on(&open()).run().unwrap_err();
    let rows = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(rows.execute("update workflows set name = 'sell-2', checksum = null", []).unwrap(), 1);
    drop(rows);
    log.push("ready");
    assert_eq!(second::sell::durable("one").on(&open()).run().unwrap(), None, "so it takes the old way");
}

#[test]
fn a_child_that_is_called_plainly_has_the_version_of_its_run() {
    let (engine, _, _) = engine();
    let versions = support::block_on(outer::durable("outer").on(&engine).run()).unwrap();
    assert_eq!(versions, (Some(3), Some(3), Some(7)));
    assert_eq!(durable::version(), None);
}
