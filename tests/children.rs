//! Workflows inside workflows: called plainly they are part of the run, through an entry point they are runs
//! of their own.

mod support;

use durable::store::{Kind, RunStatus};
use durable::{Engine, Error, RunError, step, workflow};
use support::{Log, Switches, engine, keys};

#[step]
fn work(name: &str) -> Result<u32, String> {
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(1) }
}

#[workflow]
fn child(name: String) -> Result<u32, String> {
    Ok(work(&format!("{name}1"))? + work(&format!("{name}2"))?)
}

#[workflow]
fn inline() -> Result<u32, String> {
    let sum = work("before")? + child("c".into())?;
    assert!(!Switches::is_set("panic"));
    Ok(sum + work("after")?)
}

#[test]
fn a_plain_call_is_an_inline_child_with_positions_below_its_own() {
    let (engine, log, _) = engine();
    assert_eq!(inline::durable("x").on(&engine).run().unwrap(), 4);
    assert_eq!(keys(&engine, "x"), ["work_0", "child_1", "work_1.0.0", "work_1.0.1", "work_2"]);
    assert_eq!(engine.steps("x").unwrap()[1].kind, Kind::Child);
    assert_eq!(engine.runs().count(), 1);
    assert_eq!(log.lines(), ["before", "c1", "c2", "after"]);
}

#[test]
fn a_recorded_child_is_skipped_whole() {
    let (engine, log, switches) = engine();
    switches.set("panic");
    inline::durable("x").on(&engine).run().unwrap_err();
    switches.clear();
    assert_eq!(inline::durable("x").on(&engine).run().unwrap(), 4);
    assert_eq!(log.lines(), ["before", "c1", "c2", "after"]);
}

#[test]
fn a_failure_that_escaped_through_a_child_runs_again_in_it() {
    let (engine, log, switches) = engine();
    switches.set("c2");
    assert!(
        matches!(inline::durable("x").on(&engine).run(), Err(RunError::Failed(error)) if error == "c2 failed")
    );
    switches.clear();
    assert_eq!(inline::durable("x").on(&engine).run().unwrap(), 4);
    assert_eq!(log.lines(), ["before", "c1", "c2", "c2", "after"]);
}

#[test]
fn a_rewind_into_a_completed_child_drops_its_result_too() {
    let (engine, log, _) = engine();
    inline::durable("x").on(&engine).run().unwrap();
    assert_eq!(engine.rewind("x", "work_1.0.1").unwrap(), 3);
    assert_eq!(keys(&engine, "x"), ["work_0", "work_1.0.0"]);
    log.take();
    assert_eq!(inline::durable("x").on(&engine).run().unwrap(), 4);
    assert_eq!(log.lines(), ["c2", "after"]);
}

#[workflow]
fn parent() -> Result<u32, String> {
    let own = match child::run_durable("its-own", "own".into()) {
        Ok(sum) => sum,
        Err(error) => return Err(error.to_string()),
    };
    assert!(!Switches::is_set("panic"));
    Ok(own + work("after")?)
}

#[test]
fn an_entry_point_inside_a_run_starts_a_run_of_its_own_once() {
    let (engine, log, switches) = engine();
    switches.set("panic");
    parent::durable("x").on(&engine).run().unwrap_err();
    switches.clear();
    assert_eq!(parent::durable("x").on(&engine).run().unwrap(), 3);
    assert_eq!(log.lines(), ["own1", "own2", "after"]);
    assert_eq!(keys(&engine, "x"), ["child_0", "work_1"]);
    assert_eq!(keys(&engine, "its-own"), ["work_0", "work_1"]);
    let own = engine.run("its-own").unwrap().unwrap();
    assert_eq!(own.parent.unwrap().as_str(), "x");
    assert_eq!(engine.steps("x").unwrap()[0].kind, Kind::Workflow);
}

#[test]
fn a_failed_run_of_its_own_is_resumed_by_its_parent() {
    let (engine, log, switches) = engine();
    switches.set("own2");
    assert!(
        matches!(parent::durable("x").on(&engine).run(), Err(RunError::Failed(error)) if error == "own2 failed")
    );
    assert_eq!(engine.run("its-own").unwrap().unwrap().status, RunStatus::Failed);
    switches.clear();
    assert_eq!(parent::durable("x").on(&engine).run().unwrap(), 3);
    assert_eq!(log.lines(), ["own1", "own2", "own2", "after"]);
}

#[workflow]
fn narcissus() -> u32 {
    narcissus::run_durable("me").unwrap_or(7)
}

#[workflow]
fn ping(left: u32) -> u32 {
    pong::run_durable("pong", left).unwrap_or(7)
}

#[workflow]
fn pong(left: u32) -> u32 {
    ping::run_durable("ping", left).unwrap_or(7)
}

#[test]
fn a_run_that_would_wait_for_itself_is_an_error_that_shows_the_circle() {
    let (engine, _, _) = engine();
    let straight = narcissus::durable("me").on(&engine).run().unwrap_err();
    assert_eq!(straight.to_string(), "workflow \"me\" would wait for itself: \"me\" -> \"me\"");
    let circle = ping::durable("ping", 3).on(&engine).run().unwrap_err();
    assert!(matches!(circle, RunError::Engine(Error::WaitsForItself { .. })));
    assert_eq!(
        circle.to_string(),
        "workflow \"pong\" would wait for itself: \"pong\" -> \"ping\" -> \"pong\""
    );
}

#[step]
fn asks_for(id: &str) -> String {
    by_a_step::run_durable(id).unwrap_err().to_string()
}

#[workflow]
fn by_a_step() -> String {
    asks_for("me")
}

#[test]
fn a_step_that_waits_for_its_own_run_is_told_so() {
    let (engine, _, _) = engine();
    let said = by_a_step::durable("me").on(&engine).run().unwrap();
    assert_eq!(said, "workflow \"me\" would wait for itself: \"me\" -> \"me\"");
}

#[workflow]
fn mismatched() -> u32 {
    // The error is a fault of the call, so the workflow cannot go on with another value.
    child::run_durable("taken", "other".into()).unwrap_or(7)
}

#[test]
fn a_fault_of_a_run_of_its_own_ends_its_parent_too() {
    let (engine, _, _) = engine();
    child::durable("taken", "first".into()).on(&engine).run().unwrap();
    let error = mismatched::durable("x").on(&engine).run().unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::InputMismatch(_))), "{error}");
    assert!(keys(&engine, "x").is_empty());
}

#[step]
async fn async_work(name: &str) -> u32 {
    smol::future::yield_now().await;
    Log::note(name);
    1
}

#[workflow]
async fn async_child(name: String) -> u32 {
    async_work(&format!("{name}1")).await + async_work(&format!("{name}2")).await
}

#[workflow]
async fn async_parent() -> u32 {
    let inline = async_child("in".into()).await;
    let (a, b) = durable::join!(async_child("a".into()), async {
        async_child::run_durable("own", "own".into()).await.unwrap()
    });
    let sync = child("s".into()).unwrap_or_default();
    assert!(!Switches::is_set("panic"));
    inline + a + b + sync
}

#[test]
fn async_children_are_inline_or_their_own_alike() {
    let (engine, log, switches) = engine();
    switches.set("panic");
    smol::block_on(async_parent::durable("x").on(&engine).run()).unwrap_err();
    let lines = log.take();
    switches.clear();
    assert_eq!(smol::block_on(async_parent::durable("x").on(&engine).run()).unwrap(), 8);
    assert!(log.lines().is_empty());
    assert_eq!(lines.len(), 8);
    let expected = [
        "async_child_0",
        "async_work_0.0.0",
        "async_work_0.0.1",
        "async_child_1.0.0",
        "async_work_1.0.0.0.0",
        "async_work_1.0.0.0.1",
        "async_child_1.1.0",
        "child_2",
        "work_2.0.0",
        "work_2.0.1",
    ];
    assert_eq!(keys(&engine, "x"), expected);
}

#[workflow]
fn deep(levels: u32) -> u32 {
    if levels == 0 { 1 } else { deep(levels - 1) + 1 }
}

#[test]
fn children_nest_deep() {
    let engine = Engine::in_memory().unwrap();
    assert_eq!(deep::durable("x", 50).on(&engine).run().unwrap(), 51);
    assert_eq!(engine.steps("x").unwrap().len(), 50);
}
/// An engine for the other side of a circle, by its name.
struct Others(std::sync::Mutex<Vec<Engine>>);

fn other(i: usize) -> Engine {
    durable::resource::<std::sync::Arc<Others>>().0.lock().unwrap()[i].clone()
}

#[workflow]
fn here() -> u32 {
    there::durable("b").on(&other(1)).run().unwrap_or(7)
}

#[workflow]
fn there() -> u32 {
    here::durable("a").on(&other(0)).run().unwrap_or(7)
}

#[workflow]
fn namesake() -> u32 {
    leaf::durable("same").on(&other(1)).run().unwrap()
}

#[workflow]
fn leaf() -> u32 {
    3
}

/// Bug: a circle of waits over two stores was not seen, and a run of the same id in another store was taken for
/// the run itself. Cause: each store kept a table of its own, by id. Fix: one table of the process.
#[test]
fn waits_are_told_apart_by_store_and_followed_over_stores() {
    let others = std::sync::Arc::new(Others(std::sync::Mutex::default()));
    for _ in 0..2 {
        let engine = Engine::builder().with(std::sync::Arc::clone(&others)).in_memory().unwrap();
        others.0.lock().unwrap().push(engine);
    }
    let first = others.0.lock().unwrap()[0].clone();
    let circle = here::durable("a").on(&first).run().unwrap_err();
    assert_eq!(circle.to_string(), "workflow \"b\" would wait for itself: \"b\" -> \"a\" -> \"b\"");
    assert_eq!(namesake::durable("same").on(&first).run().unwrap(), 3);
    others.0.lock().unwrap().clear();
}
