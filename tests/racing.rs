//! Races: the branch that ends first decides, which is recorded before anybody hears of it; a replay polls that
//! one alone, and what is recorded of the others is neither used nor left over.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/store.rs"]
mod store;
mod support;

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crashes::{check_crashes, output, rows};
use durable::store::memory::MemoryStore;
use durable::store::{Kind, StepStatus};
use durable::{Error, RunError, step, workflow};
use store::{Asks, Before, Faulty};
use support::{Log, Switches, block_on, engine, keys, turns};

/// A step that takes so many turns.
#[step]
async fn fetch(name: &str, delay: u32) -> Result<String, String> {
    Log::note(format!("begins {name}"));
    turns(delay).await;
    Log::note(name);
    assert!(!Switches::is_set(&format!("panic {name}")), "{name} broke");
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[step]
fn plain(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

async fn two(name: &str, delay: u32) -> Result<String, String> {
    let first = fetch(&format!("{name}1"), delay).await?;
    Ok(first + &fetch(&format!("{name}2"), delay).await?)
}

#[workflow]
async fn raced(delays: Vec<u32>) -> Result<String, String> {
    let before = plain("before");
    let branches =
        delays.into_iter().enumerate().map(|(i, delay)| async move { two(&format!("b{i}-"), delay).await });
    let won = durable::race(branches).await?;
    Ok(format!("{before} {won} {}", plain("after")))
}

#[test]
fn the_branch_that_ends_first_wins_and_that_is_recorded() {
    for (delays, winner) in [(vec![1, 5, 9], 0), (vec![5, 1, 9], 1), (vec![9, 5, 1], 2), (vec![0, 0], 0)] {
        let (engine, _, _) = engine();
        let won = block_on(raced::durable("x", delays).on(&engine).run()).unwrap();
        assert_eq!(won, format!("BEFORE B{winner}-1B{winner}-2 AFTER"));
        let row = ("race_1".to_owned(), Kind::Race, StepStatus::Completed, winner.to_string());
        assert!(rows(&engine, "x").contains(&row), "{:?}", rows(&engine, "x"));
        assert_eq!(keys(&engine, "x").last().unwrap(), "plain_2");
    }
}

#[test]
fn a_decision_stands_whatever_write_the_process_dies_at() {
    check_crashes(&["race_1"], |engine| block_on(raced::durable("x", vec![3, 1, 2]).on(engine).run()));
}

#[workflow]
async fn tells(what: u32) -> u32 {
    let (one, error) = (async { 1 }, async { Err::<u32, u32>(1) });
    let told = match what {
        0 => durable::race!(one, pending()),
        1 => durable::try_join!(error, pending::<Result<u32, u32>>()).unwrap_err(),
        2 => durable::timeout(Duration::ZERO, one).await.unwrap_or(1),
        _ => durable::unordered([one], 1).next().await.map_or(0, |(_, one)| one),
    };
    Log::note("told");
    told
}

// The store is held while it writes the decision; that is the last thing before the end of the run.
#[test]
fn nobody_hears_of_a_decision_before_it_is_recorded() {
    for (what, key) in ["race_0", "try_join_0", "timeout_0", "next_1"].into_iter().enumerate() {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (held, writes) = (Arc::clone(&gate), Arc::new(AtomicU32::new(0)));
        let seen = Arc::clone(&writes);
        let before: Before = Arc::new(move |call| {
            if call == "apply" && seen.fetch_add(1, Ordering::SeqCst) > 0 {
                drop(held.1.wait_while(held.0.lock().unwrap(), |open| !*open).unwrap());
            }
            Ok(())
        });
        let (log, switches) = (Log::default(), Switches::default());
        let store = Faulty::new(Asks(MemoryStore::default(), before), vec![]);
        let engine = support::builder(&log, &switches).store(store).unwrap();
        let run = tells::durable("x", u32::try_from(what).unwrap()).on(&engine).run();
        let mut run = Box::pin(run);
        let mut ended = false;
        while writes.load(Ordering::SeqCst) < 2 {
            ended |= block_on(smol::future::poll_once(&mut run)).is_some();
            std::thread::yield_now();
        }
        for _ in 0..20 {
            ended |= ended || block_on(smol::future::poll_once(&mut run)).is_some();
        }
        let told = log.lines();
        // Before anything is said of it: the engine waits for the store when it is dropped.
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert!(!ended && told.is_empty(), "{key}");
        assert_eq!(block_on(run).unwrap(), 1);
        assert!(output(&engine, "x", key).is_some());
    }
}

#[workflow]
async fn polls_one() -> Result<String, String> {
    let loser = async {
        Log::note("the loser is polled");
        fetch("loser", 0).await.unwrap_or_default();
        pending().await
    };
    let won = durable::race!(loser, fetch("winner", 1))?;
    plain("last");
    Ok(won)
}

#[test]
fn a_replay_polls_the_branch_alone_that_is_recorded() {
    let (engine, log, _) = engine();
    let run = || block_on(polls_one::durable("x").on(&engine).run()).unwrap();
    assert_eq!(run(), "WINNER");
    assert_eq!(log.take().len(), 6);
    assert_eq!(keys(&engine, "x"), ["race_0", "fetch_0.0.0", "fetch_0.1.0", "plain_1"]);
    for _ in 0..2 {
        engine.rewind("x", "plain_1").unwrap();
        assert_eq!(run(), "WINNER");
        assert_eq!(log.take(), ["last"]);
    }
}

#[test]
fn a_step_of_a_loser_that_is_under_way_is_dropped_and_nothing_is_said_of_it() {
    let (engine, log, _) = engine();
    let run = || block_on(raced::durable("x", vec![50, 0]).on(&engine).run()).unwrap();
    let won = run();
    assert!(log.count("begins b0-1") == 1 && log.count("b0-1") == 0, "{:?}", log.lines());
    assert_eq!(keys(&engine, "x"), ["plain_0", "race_1", "fetch_1.1.0", "fetch_1.1.1", "plain_2"]);
    engine.rewind("x", "race_1").unwrap();
    assert_eq!(run(), won);
}

#[workflow]
async fn fails() -> Result<String, String> {
    let losing = async {
        let lost = fetch("lost", 0).await;
        pending::<()>().await;
        lost
    };
    durable::race!(losing, fetch("won", 3), async {
        turns(5).await;
        fetch("third", 0).await
    })
}

#[test]
fn only_the_failure_that_won_is_run_again_and_the_race_is_decided_anew() {
    let (engine, log, switches) = engine();
    let run = || block_on(fails::durable("x").on(&engine).run());
    for failing in ["lost", "won", "third"] {
        switches.set(failing);
    }
    assert!(matches!(run(), Err(RunError::Failed(error)) if error == "won failed"));
    assert_eq!(keys(&engine, "x"), ["race_0", "fetch_0.0.0", "fetch_0.1.0"]);
    assert!(matches!(run(), Err(RunError::Failed(error)) if error == "won failed"));
    assert_eq!((log.count("lost"), log.count("won"), log.count("third")), (1, 2, 0));
    switches.clear();
    assert_eq!(run().unwrap(), "WON");
    assert_eq!((log.count("lost"), log.count("won")), (1, 3));
    assert_eq!(run().unwrap(), "WON");
}

#[workflow]
async fn fails_after() -> Result<String, String> {
    let losing = async {
        let lost = fetch("lost", 0).await;
        pending::<()>().await;
        lost
    };
    let won = durable::race!(losing, fetch("won", 3))?;
    if Switches::is_set("give up") { Err("gave up".into()) } else { Ok(won) }
}

// The failure of the loser is the last row of its branch, and nothing is recorded after the race.
#[test]
fn a_failure_of_a_loser_is_not_taken_for_the_one_that_escaped() {
    let (engine, log, switches) = engine();
    let run = || block_on(fails_after::durable("x").on(&engine).run());
    switches.set("lost");
    switches.set("give up");
    for _ in 0..2 {
        assert!(matches!(run(), Err(RunError::Failed(error)) if error == "gave up"));
        assert_eq!(log.count("lost"), 1);
    }
}

#[workflow]
async fn panics() -> u32 {
    let (first, second) = (
        async {
            turns(1).await;
            assert!(!Switches::is_set("panic"), "it broke");
            turns(100).await;
            1
        },
        async {
            turns(10).await;
            2
        },
    );
    let race = std::panic::AssertUnwindSafe(async { durable::race!(first, second) });
    let won = match smol::future::FutureExt::catch_unwind(race).await {
        Ok(won) => won,
        Err(panic) if Switches::is_set("catch") => panic.downcast_ref::<&str>().map_or(0, |_| 7),
        Err(panic) => std::panic::resume_unwind(panic),
    };
    plain("after");
    won
}

#[test]
fn a_branch_that_panics_first_decides_and_the_panic_goes_on() {
    let (engine, _, switches) = engine();
    let run = || block_on(panics::durable("x").on(&engine).run());
    switches.set("panic");
    let error = run().unwrap_err();
    assert!(
        matches!(&error, RunError::Engine(Error::Panicked { message, .. }) if message == "it broke"),
        "{error}"
    );
    assert_eq!(rows(&engine, "x"), [("race_0".into(), Kind::Race, StepStatus::Failed, "0".into())]);
    // Nobody caught it, so it is as if the process had died before: any branch may win.
    switches.clear();
    assert_eq!(run().unwrap(), 2);
    assert_eq!(output(&engine, "x", "race_0").unwrap(), "1");
}

#[test]
fn a_panic_that_is_caught_is_caught_again_on_replay() {
    let (engine, log, switches) = engine();
    let run = || block_on(panics::durable("x").on(&engine).run());
    switches.set("panic");
    switches.set("catch");
    assert_eq!(run().unwrap(), 7);
    engine.rewind("x", "plain_1").unwrap();
    assert_eq!(run().unwrap(), 7);
    assert_eq!(log.lines(), ["after", "after"]);
}

#[workflow]
async fn selects(slow: bool) -> Result<String, String> {
    let mut told = Vec::new();
    loop {
        let delay = if slow { 9 } else { 0 };
        durable::select! {
            name = fetch("name", delay) => {
                told.push(name?);
                break;
            }
            (a, b) = async { turns(3).await; (plain("a"), 1_u8) } => told.push(format!("{a}{b}{}", plain("then"))),
            _ = pending::<u64>() => return Err("never".into()),
        }
        if told.len() > 1 {
            break;
        }
    }
    Ok(told.concat())
}

#[test]
fn an_arm_belongs_to_what_is_around_the_select() {
    let (engine, _, switches) = engine();
    let run = |id, slow| block_on(selects::durable(id, slow).on(&engine).run());
    assert_eq!(run("x", false).unwrap(), "NAME");
    assert_eq!(keys(&engine, "x"), ["select_0", "fetch_0.0.0"]);
    assert_eq!(run("y", true).unwrap(), "A1THENA1THEN");
    let expected = ["select_0", "plain_0.1.0", "plain_1", "select_2", "plain_2.1.0", "plain_3"];
    assert_eq!(keys(&engine, "y"), expected);
    switches.set("name");
    assert!(matches!(run("z", false), Err(RunError::Failed(error)) if error == "name failed"));
}

#[workflow]
async fn child(name: String) -> Result<String, String> {
    let won = durable::race!(two(&name, 1), two("other", 4))?;
    Ok(won + &fetch("tail", 1).await?)
}

#[workflow]
async fn nested() -> Result<String, String> {
    let join = async {
        let (a, b) = durable::join!(two("a", 1), async { durable::race!(two("b", 1), pending()) });
        Ok::<_, String>(a? + &b?)
    };
    let children = async {
        let own = child::run_durable("own", "own".into()).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(child("inline".into()).await? + &own)
    };
    let slow = async {
        let all =
            durable::future::join_all((0..3).map(|i| async move { fetch(&format!("s{i}"), 90).await })).await;
        all.into_iter().collect::<Result<String, _>>()
    };
    let first = durable::race!(slow, join)?;
    let second = durable::race!(pending(), children)?;
    plain("last");
    Ok(format!("{first} {second}"))
}

#[test]
fn races_stand_in_joins_joins_in_races_and_both_in_children() {
    let (engine, log, _) = engine();
    let run = || block_on(nested::durable("x").on(&engine).run()).unwrap();
    let all = run();
    assert_eq!(all, "A1A2B1B2 INLINE1INLINE2TAILOWN1OWN2TAIL");
    assert_eq!(output(&engine, "x", "race_0.1.0.1.0").unwrap(), "0");
    assert_eq!(output(&engine, "x", "race_1.1.1.0.0").unwrap(), "0");
    let ran = log.take().len();
    assert!(ran > 10, "{ran}");
    engine.rewind("x", "plain_2").unwrap();
    assert_eq!(run(), all);
    assert_eq!(log.take(), ["last"]);
    check_crashes(&["race_0", "race_1", "race_0.1.0.1.0"], |engine| {
        block_on(nested::durable("x").on(engine).run())
    });
}

#[test]
fn a_race_outside_a_run_only_runs() {
    let one = |n: u32| async move {
        turns(10 - n).await;
        n
    };
    assert_eq!(block_on(durable::race((0..5).map(one))), 4);
    assert_eq!(block_on(async { durable::race!(one(1), one(2), one(3)) }), 3);
    let told = block_on(async {
        durable::select! {
            n = one(1) => n.to_string(),
            text = async { "text" } => text.to_owned()
        }
    });
    assert_eq!(told, "text");
}

/// What the branches of a race in a step are told apart by.
#[step]
async fn races_inside() -> Vec<String> {
    let key = async |delay: u32| {
        turns(delay).await;
        durable::idempotency_key()
    };
    let first = durable::race!(key(1), key(0));
    let second = durable::race([key(0), key(1)]).await;
    vec![first, second]
}

#[workflow]
async fn of_a_step() -> Vec<String> {
    races_inside().await
}

#[test]
fn a_race_in_a_step_is_plain_and_its_branches_have_keys_of_their_own() {
    let (engine, _, _) = engine();
    let keyed = block_on(of_a_step::durable("x").on(&engine).run()).unwrap();
    let keyed: Vec<_> = keyed.iter().map(|key| key.split_once('-').unwrap().1).collect();
    assert_eq!(keyed, ["races_inside_0.race_0.1", "races_inside_0.race_1.0"]);
    assert_eq!(keys(&engine, "x"), ["races_inside_0"]);
}

/// Calls a step when it is dropped.
struct CallsWhenDropped(&'static str);

impl Drop for CallsWhenDropped {
    fn drop(&mut self) {
        plain(self.0);
    }
}

#[workflow]
async fn cleans() -> Result<String, String> {
    let loser = async {
        let _cleanup = CallsWhenDropped("cleanup");
        // Below an inline construct of its own, which is dropped with it.
        durable::join!(async {
            let _cleanup = CallsWhenDropped("inner");
            turns(100).await;
        });
        pending().await
    };
    let won = durable::race!(loser, fetch("won", 2))?;
    plain("last");
    Ok(won)
}

#[test]
fn what_a_loser_calls_when_it_is_dropped_is_a_plain_call() {
    let (engine, log, _) = engine();
    let run = || block_on(cleans::durable("x").on(&engine).run()).unwrap();
    assert_eq!(run(), "WON");
    assert_eq!(keys(&engine, "x"), ["race_0", "fetch_0.1.0", "plain_1"]);
    assert_eq!(log.take(), ["begins won", "won", "inner", "cleanup", "last"]);
    engine.rewind("x", "plain_1").unwrap();
    assert_eq!(run(), "WON");
    assert_eq!(log.take(), ["last"]);
}

#[test]
fn a_rewind_into_a_race_decides_it_anew() {
    for (key, left) in [
        ("race_1", vec!["plain_0"]),
        ("fetch_1.0.0", vec!["plain_0"]),
        ("fetch_1.1.0", vec!["plain_0", "fetch_1.0.0"]),
        ("fetch_1.1.1", vec!["plain_0", "fetch_1.0.0", "fetch_1.1.0"]),
    ] {
        let (engine, log, _) = engine();
        let run = || block_on(raced::durable("x", vec![3, 2]).on(&engine).run()).unwrap();
        assert_eq!(run(), "BEFORE B1-1B1-2 AFTER");
        log.take();
        engine.rewind("x", key).unwrap();
        assert_eq!(keys(&engine, "x"), left);
        // What is recorded of a branch counts for it.
        let winner = u32::from(left.len() != 2);
        assert_eq!(run(), format!("BEFORE B{winner}-1B{winner}-2 AFTER"), "{key}: {:?}", log.lines());
    }
}

#[workflow]
async fn changing() -> u32 {
    let ready = async || plain("a").len();
    let won = if Switches::is_set("join") {
        durable::join!(ready(), ready()).0
    } else if Switches::is_set("step") {
        plain("race").len()
    } else if Switches::is_set("fewer") {
        durable::race!(ready())
    } else {
        durable::race!(
            async {
                turns(1).await;
                ready().await
            },
            ready()
        )
    };
    plain("last");
    u32::try_from(won).unwrap()
}

#[test]
fn a_race_that_was_changed_is_refused_with_both_sides() {
    for (change, text) in [
        ("join", "position 0 was recorded as race `race` (tests/racing.rs:"),
        ("step", "but this run calls step `plain` (tests/racing.rs:"),
        ("fewer", "but this run has no such branch among its 1; the code changed. If you changed the code"),
    ] {
        let (engine, _, switches) = engine();
        let run = || block_on(changing::durable("x").on(&engine).run());
        run().unwrap();
        engine.rewind("x", "plain_1").unwrap();
        switches.set(change);
        let error = run().unwrap_err();
        let RunError::Engine(Error::Divergence(divergence)) = &error else { panic!("{change}: {error}") };
        let told = divergence.to_string();
        assert!(told.contains(text), "{told}");
        switches.clear();
        run().unwrap();
    }
}

#[test]
fn a_decision_that_is_missing_before_what_came_after_it_is_refused() {
    let (engine, _, switches) = engine();
    switches.set("join");
    let run = || block_on(changing::durable("x").on(&engine).run());
    run().unwrap();
    engine.rewind("x", "plain_1").unwrap();
    switches.clear();
    let error = run().unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = &error else { panic!("{error}") };
    assert!(divergence.to_string().contains("construct `join!`"), "{divergence}");
}

#[workflow]
async fn drops_a_race(then: bool) -> u32 {
    let mut race = Box::pin(async { durable::race!(fetch("a", 5), fetch("b", 5)) });
    _ = smol::future::poll_once(&mut race).await;
    drop(race);
    if then { plain("next").len().try_into().unwrap() } else { 0 }
}

#[test]
fn a_race_that_only_timing_dropped_is_refused() {
    for then in [true, false] {
        let (engine, _, _) = engine();
        let error = block_on(drops_a_race::durable("x", then).on(&engine).run()).unwrap_err();
        let RunError::Engine(Error::Unstructured(dropped)) = &error else { panic!("{error}") };
        assert_eq!(dropped.first.name, "race");
    }
}

#[workflow]
async fn leaves_in_the_winner() -> bool {
    let leaves = async {
        let mut step = Box::pin(fetch("left", 5));
        smol::future::poll_once(&mut step).await.is_some()
    };
    durable::race!(leaves, pending())
}

#[test]
fn a_winner_that_left_an_operation_under_way_is_refused() {
    let (engine, _, _) = engine();
    let error = block_on(leaves_in_the_winner::durable("x").on(&engine).run()).unwrap_err();
    let RunError::Engine(Error::Unstructured(left)) = &error else { panic!("{error}") };
    assert_eq!(left.how, durable::Overlap::Left);
    assert!(keys(&engine, "x").is_empty());
}

#[test]
fn a_run_that_is_dropped_in_a_race_goes_on_with_it() {
    let (engine, log, _) = engine();
    let mut run = Box::pin(raced::durable("x", vec![9, 3]).on(&engine).run());
    while log.count("b1-1") == 0 {
        assert!(block_on(smol::future::poll_once(&mut run)).is_none());
    }
    drop(run);
    assert_eq!(block_on(raced::durable("x", vec![9, 3]).on(&engine).run()).unwrap(), "BEFORE B1-1B1-2 AFTER");
    assert_eq!((log.count("before"), log.count("b1-1")), (1, 1));
}

#[workflow]
async fn faults() -> u32 {
    let faulty = async {
        turns(2).await;
        durable::resource::<Vec<u8>>().len()
    };
    let won = durable::race!(faulty, async {
        turns(3).await;
        plain("never").len()
    });
    u32::try_from(won).unwrap()
}

#[test]
fn a_fault_in_a_branch_ends_the_run_and_decides_nothing() {
    let (engine, log, _) = engine();
    let error = block_on(faults::durable("x").on(&engine).run()).unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::MissingResource { .. })), "{error}");
    assert!(keys(&engine, "x").is_empty() && log.lines().is_empty());
}

#[workflow]
fn blocks() -> Result<String, String> {
    let won = smol::block_on(async { durable::race!(fetch("a", 9), fetch("b", 1)) })?;
    Ok(won + &plain("last"))
}

#[test]
fn a_race_works_under_an_executor_of_a_plain_workflow() {
    let (engine, _, _) = engine();
    assert_eq!(blocks::durable("x").on(&engine).run().unwrap(), "BLAST");
    assert_eq!(keys(&engine, "x"), ["race_0", "fetch_0.1.0", "plain_1"]);
}

#[workflow]
async fn wide(count: u32) -> u32 {
    durable::race((0..count).map(|i| async move {
        // All but one wait for ever, and wake themselves all the time.
        turns(if i == 700 { 50 } else { u32::MAX }).await;
        i
    }))
    .await
}

#[test]
fn branches_that_never_rest_starve_no_other() {
    let (engine, _, _) = engine();
    assert_eq!(block_on(wide::durable("x", 1_000).on(&engine).run()).unwrap(), 700);
}

#[test]
#[should_panic(expected = "a race of no futures would never end")]
fn a_race_of_nothing_is_refused_where_it_is_written() {
    drop(durable::race(Vec::<std::future::Ready<()>>::new()));
}
