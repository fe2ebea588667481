//! A program that is not what was recorded is refused with both sides, and cannot keep the refusal from the
//! engine. One test binary plays the old and the new program: a switch of the engine says which.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use durable::store::RunStatus;
use durable::{Difference, Divergence, Engine, Error, RunError, step, workflow};
use support::{Log, Switches, engine, keys};

#[step]
fn alpha() -> u32 {
    Log::note("alpha");
    1
}

#[step]
fn beta() -> u32 {
    Log::note("beta");
    2
}

/// Interrupts the run here, as a crash would.
fn stop() {
    assert!(!Switches::is_set("stop"), "stopped");
}

#[workflow]
fn inner() -> u32 {
    alpha()
}

/// What the workflow does at its first position, by the version of the program.
#[workflow]
fn versions() -> u32 {
    let first = if Switches::is_set("renamed") {
        beta()
    } else if Switches::is_set("inserted") {
        beta() + alpha()
    } else if Switches::is_set("joined") {
        durable::join(alpha, beta).0
    } else if Switches::is_set("mapped") {
        durable::map([1, 2], 1, |_| alpha()).iter().sum()
    } else if Switches::is_set("nested") {
        inner()
    } else if Switches::is_set("slept") {
        durable::sleep(std::time::Duration::ZERO);
        0
    } else {
        alpha()
    };
    stop();
    first
}

/// Runs the old program up to `stop`, then the new one; what the engine says of that.
#[track_caller]
fn diverges(old: &[&str], new: &[&str]) -> (Engine, Log, Divergence) {
    let (engine, log, switches) = engine();
    let entered = engine.enter();
    for switch in old.iter().chain(&["stop"]) {
        switches.set(switch);
    }
    versions::run_durable("a").unwrap_err();
    let before = keys(&engine, "a");
    switches.clear();
    for switch in new {
        switches.set(switch);
    }
    log.take();
    let error = versions::run_durable("a").unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = error else { panic!("{error}") };
    assert_eq!(keys(&engine, "a"), before, "nothing was written");
    assert!(log.lines().is_empty(), "nothing ran");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    drop(entered);
    (engine, log, *divergence)
}

#[test]
fn another_step_at_a_recorded_position_is_refused_with_both_places() {
    let (_, _, divergence) = diverges(&[], &["renamed"]);
    assert_eq!((divergence.recorded.name.as_str(), divergence.found.name.as_str()), ("alpha", "beta"));
    let text = divergence.to_string();
    assert!(text.starts_with("workflow \"a\" is not what was recorded: position 0 was recorded as step `alpha` (tests/divergence.rs:"), "{text}");
    assert!(text.contains("but this run calls step `beta` (tests/divergence.rs:"), "{text}");
    for remedy in [
        "if durable::patched(\"…\") { new } else { old }",
        "run the build that recorded it",
        "Engine::rewind(\"a\", \"alpha_0\")",
        "Engine::reset(\"a\")",
    ] {
        assert!(text.contains(remedy), "{text}");
    }
}

#[test]
fn an_inserted_step_is_told_from_another_one() {
    let (engine, _, switches) = engine();
    let _entered = engine.enter();
    switches.set("inserted");
    switches.set("stop");
    versions::run_durable("a").unwrap_err();
    switches.clear();
    let error = versions::run_durable("a").unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = error else { panic!("{error}") };
    let Difference::Operation { nearest: Some(nearest) } = &divergence.difference else {
        panic!("{divergence}")
    };
    assert_eq!(nearest.as_str(), "alpha_1");
    assert!(divergence.to_string().contains("it was recorded as alpha_1"), "{divergence}");
}

#[test]
fn a_step_and_a_construct_are_never_taken_for_one_another() {
    for (old, new) in [
        ("plain", "joined"),
        ("plain", "mapped"),
        ("plain", "nested"),
        ("plain", "slept"),
        ("joined", "plain"),
        ("joined", "mapped"),
        ("joined", "nested"),
        ("joined", "slept"),
        ("nested", "plain"),
        ("nested", "joined"),
        ("slept", "plain"),
        ("slept", "mapped"),
    ] {
        let (_, _, divergence) = diverges(&[old], &[new]);
        assert_eq!(divergence.position.to_string(), "0", "{old} -> {new}");
    }
}

#[test]
fn the_old_program_goes_on_after_a_refusal() {
    let (engine, _, _) = diverges(&[], &["renamed"]);
    let _entered = engine.enter();
    let switches = durable::resource::<Switches>();
    switches.clear();
    assert_eq!(versions::run_durable("a").unwrap(), 1);
}

#[step]
fn visit(city: &str) -> usize {
    Log::note(city);
    city.len()
}

#[workflow]
fn tour() -> usize {
    let cities = if Switches::is_set("shuffled") { ["ulm", "bonn"] } else { ["bonn", "ulm"] };
    let visited = cities.iter().map(|city| visit(city)).sum();
    stop();
    visited
}

#[test]
fn other_arguments_in_the_same_build_are_refused() {
    let (engine, _, switches) = engine();
    let _entered = engine.enter();
    switches.set("stop");
    tour::run_durable("a").unwrap_err();
    switches.clear();
    switches.set("shuffled");
    let error = tour::run_durable("a").unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = error else { panic!("{error}") };
    assert_eq!(divergence.difference, Difference::Arguments);
    assert!(divergence.to_string().contains("by this same build with other arguments"), "{divergence}");
}

#[workflow]
fn stubborn() -> u32 {
    let caught =
        catch_unwind(AssertUnwindSafe(|| if Switches::is_set("renamed") { beta() } else { alpha() }));
    Log::note(if caught.is_ok() { "went on" } else { "caught" });
    let again = catch_unwind(AssertUnwindSafe(beta));
    Log::note(if again.is_ok() { "went on" } else { "caught again" });
    assert!(!Switches::is_set("stop"), "stopped");
    7
}

#[test]
fn a_workflow_that_catches_the_refusal_gets_it_again_and_its_value_does_not_count() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("stop");
    stubborn::run_durable("a").unwrap_err();
    switches.clear();
    switches.set("renamed");
    log.take();
    let error = stubborn::run_durable("a").unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::Divergence(_))), "{error}");
    assert_eq!(log.lines(), ["caught", "caught again"]);
    assert_eq!(keys(&engine, "a"), ["alpha_0", "beta_1"]);
}

#[workflow]
fn limited(steps: u32) -> u32 {
    (0..steps).map(|_| alpha()).sum()
}

#[test]
fn a_run_with_too_many_steps_is_halted_and_keeps_what_it_has() {
    let (log, switches) = (Log::default(), Switches::default());
    let engine = support::builder(&log, &switches).steps_max(3).in_memory().unwrap();
    for _ in 0..2 {
        let error = limited::durable("a", 5).on(&engine).run().unwrap_err();
        assert!(matches!(error, RunError::Engine(Error::TooManySteps { steps_max: 3, .. })), "{error}");
        assert_eq!(keys(&engine, "a").len(), 3, "what was recorded before counts");
    }
    assert_eq!(limited::durable("b", 3).on(&engine).run().unwrap(), 3);
}
