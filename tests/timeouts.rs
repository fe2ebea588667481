//! Timeouts: a race with a sleep whose end is recorded when it begins, so that no restart extends it.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/store.rs"]
mod store;
mod support;

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use crashes::{check_crashes, output};
use durable::{Engine, RunError, step, workflow};
use support::{HeldClock, Log, Switches, block_on, keys, turns};

/// A step that takes so many turns.
#[step]
async fn fetch(name: &str, delay: u32) -> Result<String, String> {
    turns(delay).await;
    Log::note(name);
    Ok(name.to_uppercase())
}

#[step]
fn plain(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

#[workflow]
async fn timed(seconds: u64) -> Result<String, String> {
    let slow = async {
        let first = fetch("first", 0).await?;
        pending::<()>().await;
        Ok::<_, String>(first)
    };
    let ended = match seconds {
        0 => durable::timeout(Duration::from_mins(1), fetch("quick", 2)).await,
        _ => durable::timeout(Duration::from_secs(seconds), slow).await,
    };
    let ended = ended.map_or_else(|elapsed| elapsed.to_string(), Result::unwrap_or_default);
    Ok(ended + &plain("last"))
}

/// An engine whose time stands still until it is told to go on.
fn held() -> (Engine, Log, HeldClock) {
    let (log, switches, clock) = (Log::default(), Switches::default(), HeldClock::default());
    let builder = support::builder(&log, &switches).clock(clock.clone());
    (builder.in_memory().unwrap(), log, clock)
}

/// Polls `run` so often that whatever can end has ended.
fn poll<F: Future>(run: &mut Pin<Box<F>>) -> Option<F::Output> {
    (0..20).find_map(|_| block_on(smol::future::poll_once(run.as_mut())))
}

#[test]
fn what_ends_in_time_is_returned_and_the_sleep_is_dropped() {
    let (engine, log, _) = held();
    let run = || block_on(timed::durable("x", 0).on(&engine).run());
    assert_eq!(run().unwrap(), "QUICKLAST");
    assert_eq!(keys(&engine, "x"), ["timeout_0", "fetch_0.0.0", "sleep_0.1.0", "plain_1"]);
    assert_eq!(output(&engine, "x", "timeout_0").unwrap(), "0");
    log.take();
    engine.rewind("x", "plain_1").unwrap();
    assert_eq!(run().unwrap(), "QUICKLAST");
    assert_eq!(log.lines(), ["last"]);
}

#[test]
fn a_restart_does_not_extend_a_timeout() {
    let (engine, log, clock) = held();
    let mut run = Box::pin(timed::durable("x", 10).on(&engine).run());
    assert!(poll(&mut run).is_none());
    drop(run);
    clock.advance(Duration::from_secs(6));
    let mut run = Box::pin(timed::durable("x", 10).on(&engine).run());
    assert!(poll(&mut run).is_none());
    clock.advance(Duration::from_millis(3_999));
    assert!(poll(&mut run).is_none());
    clock.advance(Duration::from_millis(1));
    assert_eq!(poll(&mut run).unwrap().unwrap(), "it did not end within 10sLAST");
    assert_eq!(keys(&engine, "x"), ["timeout_0", "fetch_0.0.0", "sleep_0.1.0", "plain_1"]);
    assert_eq!(log.count("first"), 1);
    // Once it is decided, no time and no row of the loser matters.
    engine.rewind("x", "plain_1").unwrap();
    let mut run = Box::pin(timed::durable("x", 10).on(&engine).run());
    assert_eq!(poll(&mut run).unwrap().unwrap(), "it did not end within 10sLAST");
    assert_eq!(log.count("first"), 1);
}

#[test]
fn a_rewind_to_a_timeout_gives_it_its_time_once_more() {
    let (engine, _, clock) = held();
    let mut run = Box::pin(timed::durable("x", 10).on(&engine).run());
    assert!(poll(&mut run).is_none());
    clock.advance(Duration::from_secs(10));
    assert!(poll(&mut run).is_some());
    engine.rewind("x", "timeout_0").unwrap();
    let mut run = Box::pin(timed::durable("x", 10).on(&engine).run());
    assert!(poll(&mut run).is_none());
    clock.advance(Duration::from_secs(10));
    assert!(poll(&mut run).is_some());
}

#[step]
async fn takes_long() -> Result<String, String> {
    durable::resource::<HeldClock>().advance(Duration::from_secs(7));
    turns(3).await;
    Ok("long".into())
}

#[workflow]
async fn starts_with_a_long_step() -> Result<String, String> {
    let both = async {
        let first = takes_long().await?;
        Ok::<_, String>(first + &takes_long().await?)
    };
    durable::timeout(Duration::from_secs(10), both).await.map_err(|elapsed| elapsed.to_string())?
}

#[test]
fn the_time_of_a_timeout_counts_from_its_begin() {
    let (log, switches, clock) = (Log::default(), Switches::default(), HeldClock::default());
    let builder = support::builder(&log, &switches).with(clock.clone()).clock(clock.clone());
    let engine = builder.in_memory().unwrap();
    let mut run = Box::pin(starts_with_a_long_step::durable("x").on(&engine).run());
    let ended = poll(&mut run).unwrap();
    assert!(matches!(ended, Err(RunError::Failed(error)) if error == "it did not end within 10s"));
    assert_eq!(keys(&engine, "x"), ["timeout_0", "takes_long_0.0.0", "sleep_0.1.0"]);
}

#[workflow]
async fn times_a_child(own: bool) -> Result<String, String> {
    let waits = async {
        let name = "child".to_owned();
        let ended = if own {
            child_that_waits::run_durable("own", name).await
        } else {
            Ok(child_that_waits(name).await?)
        };
        ended.map_err(|error| error.to_string())
    };
    let ended = durable::timeout(Duration::from_secs(10), waits).await;
    Ok(ended.map_or_else(|elapsed| elapsed.to_string(), Result::unwrap_or_default) + &plain("last"))
}

#[workflow]
async fn child_that_waits(name: String) -> Result<String, String> {
    let first = fetch(&name, 0).await?;
    durable::future::sleep(Duration::from_secs(15)).await;
    Ok(first + &plain("woken"))
}

#[test]
fn a_timeout_around_a_child_drops_it_and_a_run_of_its_own_can_go_on() {
    for own in [false, true] {
        let (engine, log, clock) = held();
        let mut run = Box::pin(times_a_child::durable("x", own).on(&engine).run());
        assert!(poll(&mut run).is_none());
        clock.advance(Duration::from_secs(10));
        assert_eq!(poll(&mut run).unwrap().unwrap(), "it did not end within 10sLAST");
        let recorded = ["timeout_0", "fetch_0.0.0.0.0", "sleep_0.0.0.0.1", "sleep_0.1.0", "plain_1"];
        let expected = if own { vec!["timeout_0", "sleep_0.1.0", "plain_1"] } else { recorded.to_vec() };
        assert_eq!(keys(&engine, "x"), expected);
        if own {
            assert_eq!(engine.run("own").unwrap().unwrap().owner, None);
            clock.advance(Duration::from_secs(5));
            let mut run = Box::pin(child_that_waits::durable("own", "child".into()).on(&engine).run());
            assert_eq!(poll(&mut run).unwrap().unwrap(), "CHILDWOKEN");
        }
        assert_eq!(log.count("child"), 1);
    }
}

// A run that sleeps in its body is unloaded; one that waits here is not, as the future goes on beside the sleep.
#[test]
fn a_run_in_the_background_stays_in_memory_while_it_waits_for_a_timeout() {
    let (engine, log, clock) = held();
    let handle = timed::durable("x", 3_600).on(&engine).start();
    let handle = block_on(handle).unwrap();
    while output(&engine, "x", "sleep_0.1.0").is_none() || log.count("first") == 0 {
        std::thread::yield_now();
    }
    assert!(engine.run("x").unwrap().unwrap().owner.is_some());
    clock.advance(Duration::from_hours(1));
    assert_eq!(handle.wait().unwrap(), "it did not end within 3600sLAST");
}

#[test]
fn a_timeout_outside_a_run_only_waits() {
    let soon = Duration::from_millis(1);
    assert_eq!(block_on(durable::timeout(Duration::from_mins(10), turns(3))), Ok(()));
    assert_eq!(block_on(durable::timeout(soon, pending::<()>())).unwrap_err().after(), soon);
}

#[test]
fn a_timeout_stands_whatever_write_the_process_dies_at() {
    check_crashes(&["timeout_0"], |engine| block_on(timed::durable("x", 0).on(engine).run()));
}
