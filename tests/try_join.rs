//! Branches that all have to succeed: the first error decides, which is recorded before anybody hears of it;
//! where all succeed, nothing is recorded but their steps.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/store.rs"]
mod store;
mod support;

use crashes::{check_crashes, output, rows};
use durable::store::{Kind, StepStatus};
use durable::{Error, RunError, step, workflow};
use support::{Log, Switches, block_on, engine, keys, turns};

/// A step that takes so many turns.
#[step]
async fn fetch(name: &str, delay: u32) -> Result<String, String> {
    turns(delay).await;
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[step]
fn plain(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

async fn length(name: &str, delay: u32) -> Result<usize, String> {
    Ok(fetch(name, delay).await?.len())
}

#[workflow]
async fn tried(delays: [u32; 3]) -> Result<String, String> {
    let all = async {
        let (a, b, c) =
            durable::try_join!(fetch("a", delays[0]), length("bb", delays[1]), fetch("c", delays[2]))?;
        Ok::<_, String>(format!("{a}{b}{c}"))
    };
    let ended = match all.await {
        Err(error) if Switches::is_set("handle") => error,
        ended => ended?,
    };
    plain("last");
    Ok(ended)
}

#[workflow]
async fn tried_many(delays: [u32; 3]) -> Result<String, String> {
    let names = ["a", "bb", "c"].into_iter().zip(delays);
    let all =
        durable::future::try_join_all(names.map(|(name, delay)| async move { fetch(name, delay).await }))
            .await;
    let ended = match all {
        Err(error) if Switches::is_set("handle") => error,
        ended => ended?.concat(),
    };
    plain("last");
    Ok(ended)
}

#[test]
fn where_all_succeed_nothing_is_recorded_but_their_steps() {
    for delays in [[0, 0, 0], [5, 1, 3]] {
        let (engine, log, _) = engine();
        for _ in 0..2 {
            assert_eq!(block_on(tried::durable("x", delays).on(&engine).run()).unwrap(), "A2C");
            assert_eq!(block_on(tried_many::durable("y", delays).on(&engine).run()).unwrap(), "ABBC");
            for id in ["x", "y"] {
                assert_eq!(keys(&engine, id), ["fetch_0.0.0", "fetch_0.1.0", "fetch_0.2.0", "plain_1"]);
                engine.rewind(id, "plain_1").unwrap();
            }
        }
        assert_eq!(log.lines().len(), 6 + 4);
    }
}

#[test]
fn the_first_error_decides_and_a_replay_polls_its_branch_alone() {
    for many in [false, true] {
        let (engine, log, switches) = engine();
        let run = || {
            if many {
                return block_on(tried_many::durable("x", [0, 3, 9]).on(&engine).run());
            }
            block_on(tried::durable("x", [0, 3, 9]).on(&engine).run())
        };
        for name in ["bb", "c", "handle"] {
            switches.set(name);
        }
        assert_eq!(run().unwrap(), "bb failed");
        let decision = ("try_join_0".to_owned(), Kind::TryJoin, StepStatus::Failed, "1".to_owned());
        assert_eq!(rows(&engine, "x")[0], decision);
        assert_eq!(keys(&engine, "x"), ["try_join_0", "fetch_0.0.0", "fetch_0.1.0", "plain_1"]);
        log.take();
        engine.rewind("x", "plain_1").unwrap();
        assert_eq!(run().unwrap(), "bb failed");
        assert_eq!(log.lines(), ["last"]);
    }
}

#[test]
fn an_error_that_escaped_is_tried_again_and_what_succeeded_is_kept() {
    let (engine, log, switches) = engine();
    let run = || block_on(tried::durable("x", [0, 3, 9]).on(&engine).run());
    switches.set("bb");
    for _ in 0..2 {
        assert!(matches!(run(), Err(RunError::Failed(error)) if error == "bb failed"));
        assert_eq!(output(&engine, "x", "try_join_0").unwrap(), "1");
    }
    switches.clear();
    assert_eq!(run().unwrap(), "A2C");
    assert_eq!((log.count("a"), log.count("bb"), log.count("c")), (1, 3, 1));
    assert_eq!(keys(&engine, "x"), ["fetch_0.0.0", "fetch_0.1.0", "fetch_0.2.0", "plain_1"]);
}

#[test]
fn an_error_stands_whatever_write_the_process_dies_at() {
    check_crashes(&["try_join_0"], |engine| {
        let _entered = engine.enter();
        let switches = durable::resource::<Switches>();
        switches.set("bb");
        switches.set("handle");
        block_on(tried::durable("x", [0, 3, 2]).on(engine).run())
    });
    check_crashes(&["try_join_0"], |engine| block_on(tried::durable("x", [0, 3, 2]).on(engine).run()));
}

#[workflow]
async fn panics() -> Result<String, String> {
    let breaks = async {
        turns(2).await;
        assert!(!Switches::is_set("panic"), "it broke");
        Ok::<_, String>(1)
    };
    let (a, b) = durable::try_join!(breaks, fetch("slow", 9))?;
    Ok(format!("{a}{b}"))
}

#[test]
fn a_panic_is_a_failure_that_decides() {
    let (engine, log, switches) = engine();
    let run = || block_on(panics::durable("x").on(&engine).run());
    switches.set("panic");
    let error = run().unwrap_err();
    assert!(
        matches!(&error, RunError::Engine(Error::Panicked { message, .. }) if message == "it broke"),
        "{error}"
    );
    assert_eq!(keys(&engine, "x"), ["try_join_0"]);
    assert!(log.lines().is_empty());
    switches.clear();
    assert_eq!(run().unwrap(), "1SLOW");
    assert_eq!(keys(&engine, "x"), ["fetch_0.1.0"]);
}

#[workflow]
async fn mending() -> Result<u32, String> {
    let decides = async {
        plain("a");
        if Switches::is_set("mended") { Ok(1) } else { Err("too late".to_owned()) }
    };
    let ended = durable::try_join!(decides, async {
        turns(3).await;
        Ok(2)
    });
    plain("last");
    Ok(ended.map_or(0, |(a, b)| a + b))
}

#[test]
fn a_branch_that_is_recorded_to_have_failed_and_does_not_is_refused() {
    let (engine, _, switches) = engine();
    let run = || block_on(mending::durable("x").on(&engine).run());
    assert_eq!(run().unwrap(), 0);
    engine.rewind("x", "plain_1").unwrap();
    switches.set("mended");
    let error = run().unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = &error else { panic!("{error}") };
    let text = "by an error, but that branch of this run returns none";
    assert!(divergence.to_string().contains(text), "{divergence}");
    engine.rewind("x", "try_join_0").unwrap();
    assert_eq!(run().unwrap(), 3);
}

#[workflow]
async fn nests() -> Result<String, String> {
    let inner = async {
        let (a, b) =
            durable::try_join!(fetch("a", 1), async { durable::race!(fetch("b", 3), fetch("never", 99)) })?;
        Ok::<_, String>(a + &b)
    };
    let all = durable::race!(inner, fetch("never", 99))?;
    let (c, d) = durable::join!(fetch("c", 1), durable::future::try_join_all([fetch("d", 1)]));
    Ok(all + &c? + &d?.concat() + &plain("last"))
}

#[test]
fn a_try_join_stands_in_a_race_and_a_race_in_it() {
    let (engine, log, switches) = engine();
    let run = || block_on(nests::durable("x").on(&engine).run());
    switches.set("b");
    assert!(matches!(run(), Err(RunError::Failed(error)) if error == "b failed"));
    let decided = ["race_0", "try_join_0.0.0", "fetch_0.0.0.0.0", "race_0.0.0.1.0", "fetch_0.0.0.1.0.0.0"];
    assert_eq!(keys(&engine, "x"), decided);
    switches.clear();
    assert_eq!(run().unwrap(), "ABCDLAST");
    assert_eq!((log.count("a"), log.count("b")), (1, 2));
    check_crashes(&["race_0"], |engine| block_on(nests::durable("x").on(engine).run()));
}

#[test]
fn a_try_join_outside_a_run_only_runs() {
    let ok = |n: u32| async move {
        turns(n).await;
        Ok::<_, String>(n)
    };
    let failed = async { Err::<u8, _>("no".to_owned()) };
    assert_eq!(block_on(async { durable::try_join!(ok(3), ok(1)) }), Ok((3, 1)));
    assert_eq!(block_on(async { durable::try_join!(ok(3), failed) }), Err("no".into()));
    assert_eq!(block_on(durable::future::try_join_all((0..40).map(ok))), Ok((0..40).collect()));
    assert_eq!(block_on(durable::future::try_join_all((0..0).map(ok))), Ok(vec![]));
}
