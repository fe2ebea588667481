//! Streams of branches that come out in the order in which they end: that order is recorded, one row for each, and
//! a replay gives them out in the same order.

#[path = "support/crashes.rs"]
mod crashes;
#[path = "support/store.rs"]
mod store;
mod support;

use std::future::pending;
use std::time::Duration;

use crashes::{check_crashes, output, rows};
use durable::store::{Kind, StepStatus};
use durable::{Error, RunError, TestClock, Topic, step, workflow};
use smol::future::FutureExt as _;
use support::{HeldClock, Log, Switches, block_on, builder, engine, keys, turns};

/// A step that takes so many turns.
#[step]
async fn fetch(name: &str, delay: u32) -> Result<String, String> {
    Log::note(format!("begins {name}"));
    turns(delay).await;
    Log::note(name);
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(name.to_uppercase()) }
}

#[step]
fn plain(name: &str) -> String {
    Log::note(name);
    name.to_uppercase()
}

#[workflow]
async fn streams(delays: Vec<u32>, limit: usize) -> Result<String, String> {
    let branches = delays.into_iter().enumerate().map(|(i, delay)| async move {
        let first = fetch(&format!("{i}a"), delay).await?;
        Ok::<_, String>(first + &fetch(&format!("{i}b"), delay).await?)
    });
    let mut stream = durable::unordered(branches, limit);
    let mut all = Vec::new();
    while let Some((index, ended)) = stream.next().await {
        all.push(format!("{index}:{} ", ended?));
        if !Switches::is_set("only take") {
            plain(&format!("took {index}"));
        }
    }
    assert!(stream.next().await.is_none(), "it has ended");
    Ok(format!("{}{}", all.concat(), plain("last")))
}

#[test]
fn branches_come_out_in_the_order_in_which_they_end_and_that_is_recorded() {
    for (delays, order) in
        [(vec![9, 1, 5], [1, 2, 0]), (vec![1, 5, 9], [0, 1, 2]), (vec![0, 0, 0], [0, 1, 2])]
    {
        let (engine, log, _) = engine();
        let run = || block_on(streams::durable("x", delays.clone(), 3).on(&engine).run()).unwrap();
        let all = run();
        assert_eq!(all, order.map(|i| format!("{i}:{i}A{i}B ")).concat() + "LAST");
        let nexts: Vec<_> = rows(&engine, "x").into_iter().filter(|row| row.1 == Kind::Next).collect();
        let expected: Vec<_> = (0..3)
            .map(|i| (format!("next_{}", 2 * i + 1), Kind::Next, StepStatus::Completed, order[i].to_string()))
            .collect();
        assert_eq!(nexts, expected);
        assert_eq!(keys(&engine, "x")[..2], ["fetch_0.0.0", "fetch_0.0.1"]);
        let ran = log.take().len();
        assert_eq!(ran, 12 + 3 + 1);
        for _ in 0..2 {
            engine.rewind("x", "plain_7").unwrap();
            assert_eq!(run(), all);
            assert_eq!(log.take(), ["last"]);
        }
    }
}

#[test]
fn no_more_run_at_once_than_the_limit_says() {
    for (limit, begins) in [(0, 1), (1, 1), (2, 2), (9, 4)] {
        let (engine, log, _) = engine();
        let all = block_on(streams::durable("x", vec![5, 4, 3, 2], limit).on(&engine).run()).unwrap();
        assert_eq!(all.matches(':').count(), 4);
        let at_first = log.lines().into_iter().take_while(|line| line.starts_with("begins")).count();
        assert_eq!(at_first, begins);
    }
}

#[test]
fn an_order_stands_whatever_write_the_process_dies_at() {
    let nexts = ["next_1", "next_3", "next_5"];
    for limit in [1, 2, 3] {
        check_crashes(&nexts, |engine| {
            block_on(streams::durable("x", vec![4, 1, 2], limit).on(engine).run())
        });
    }
    check_crashes(&["next_1", "next_2", "next_3"], |engine| {
        let _entered = engine.enter();
        durable::resource::<Switches>().set("only take");
        block_on(streams::durable("x", vec![1, 1, 1], 3).on(engine).run())
    });
}

#[test]
fn a_failure_that_escapes_from_a_stream_runs_again_and_all_else_is_kept() {
    let (engine, log, switches) = engine();
    let run = || block_on(streams::durable("x", vec![30, 1, 5], 3).on(&engine).run());
    switches.set("2b");
    switches.set("0a");
    for _ in 0..2 {
        assert!(matches!(run(), Err(RunError::Failed(error)) if error == "2b failed"));
        assert_eq!(output(&engine, "x", "next_3").unwrap(), "2");
    }
    assert_eq!((log.count("2b"), log.count("took 1"), log.count("1a")), (2, 1, 1));
    switches.clear();
    assert_eq!(run().unwrap(), "1:1A1B 2:2A2B 0:0A0B LAST");
    assert_eq!((log.count("2a"), log.count("2b"), log.count("0a")), (1, 3, 1), "{:?}", log.lines());
}

#[workflow]
async fn takes_one(give_up: bool) -> Result<String, String> {
    let slow = async {
        let lost = fetch("lost", 0).await.unwrap_or_default();
        turns(20).await;
        fetch("slow", 50).await.map(|slow| lost + &slow)
    };
    let mut stream = durable::unordered([slow.boxed(), fetch("quick", 3).boxed(), pending().boxed()], 9);
    let (index, first) = stream.next().await.ok_or("nothing")?;
    drop(stream);
    if give_up { Err("gave up".into()) } else { Ok(format!("{index}{}{}", first?, plain("last"))) }
}

#[test]
fn a_stream_that_is_dropped_drops_what_has_not_come_out() {
    let (engine, log, _) = engine();
    let run = || block_on(takes_one::durable("x", false).on(&engine).run()).unwrap();
    assert_eq!(run(), "1QUICKLAST");
    assert_eq!(keys(&engine, "x"), ["fetch_0.0.0", "fetch_0.1.0", "next_1", "plain_2"]);
    log.take();
    engine.rewind("x", "plain_2").unwrap();
    assert_eq!(run(), "1QUICKLAST");
    assert_eq!(log.lines(), ["last"]);
}

#[test]
fn a_failure_of_a_branch_that_never_came_out_did_not_escape() {
    let (engine, log, switches) = engine();
    switches.set("lost");
    for _ in 0..2 {
        let error = block_on(takes_one::durable("x", true).on(&engine).run()).unwrap_err();
        assert!(matches!(error, RunError::Failed(error) if error == "gave up"));
    }
    assert_eq!(log.count("lost"), 1);
}

#[workflow]
async fn between() -> Result<String, String> {
    let branches = (0..3).map(|i| async move { fetch(&format!("b{i}"), 10 - 3 * i).await });
    let mut stream = durable::unordered(branches, 3);
    let mut all = String::new();
    while let Some((index, ended)) = stream.next().await {
        let (a, b) = durable::join!(fetch(&format!("left{index}"), 1), async {
            durable::race!(pending(), fetch("right", 2))
        });
        all += &(ended? + &a? + &b?);
    }
    Ok(all + &plain("last"))
}

#[test]
fn constructs_may_stand_between_two_branches_of_a_stream() {
    let (engine, log, _) = engine();
    let run = || block_on(between::durable("x").on(&engine).run()).unwrap();
    let all = run();
    assert!(all.starts_with("B2LEFT2RIGHT"), "{all}");
    log.take();
    engine.rewind("x", "plain_7").unwrap();
    assert_eq!((run(), log.take()), (all, vec!["last".to_owned()]));
    check_crashes(&["next_1", "next_3", "next_5"], |engine| block_on(between::durable("x").on(engine).run()));
}

#[workflow]
async fn with_timeouts() -> Result<String, String> {
    let wait = async |seconds: u64| {
        durable::future::sleep(Duration::from_secs(seconds)).await;
        seconds
    };
    let mut stream = durable::unordered([wait(25), wait(5)], 2);
    let mut all = Vec::new();
    loop {
        match durable::timeout(Duration::from_secs(10), stream.next()).await {
            Ok(None) => return Ok(format!("{}{}", all.concat(), plain("last"))),
            Ok(Some((index, _))) => all.push(format!("{index} ")),
            Err(_) => all.push("late ".into()),
        }
    }
}

/// Polls `run` so often that whatever can end has ended.
fn polled<F: Future + Unpin>(run: &mut F) -> Option<F::Output> {
    (0..9).find_map(|_| block_on(smol::future::poll_once(&mut *run)))
}

#[test]
fn a_call_for_the_next_branch_that_loses_takes_nothing_out() {
    let (log, switches, clock) = (Log::default(), Switches::default(), HeldClock::default());
    let engine = builder(&log, &switches).clock(clock.clone()).in_memory().unwrap();
    let run = || with_timeouts::durable("x").on(&engine).run();
    let mut first = run();
    for _ in 0..6 {
        if polled(&mut first).is_some() {
            break;
        }
        clock.advance(Duration::from_secs(5));
    }
    let nexts = ["timeout_1", "timeout_2", "timeout_3"].map(|key| output(&engine, "x", key).unwrap());
    assert_eq!(nexts, ["0", "1", "0"]);
    engine.rewind("x", "plain_5").unwrap();
    assert_eq!(polled(&mut run()).unwrap().unwrap(), "1 late 0 LAST");
}

#[workflow]
async fn panics() -> u32 {
    let branches = (0..3_u32).map(|i| async move {
        turns(3 * i).await;
        assert!(i != 1 || !Switches::is_set("panic"), "it broke");
        i
    });
    let mut stream = durable::unordered(branches, 3);
    let mut sum = 0;
    loop {
        match std::panic::AssertUnwindSafe(stream.next()).catch_unwind().await {
            Ok(None) => break,
            Ok(Some((_, i))) => sum += i,
            Err(_) if Switches::is_set("catch") => sum += 10,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    plain("last");
    sum
}

#[test]
fn a_panic_comes_out_where_its_branch_does() {
    let (engine, log, switches) = engine();
    let run = |id| block_on(panics::durable(id).on(&engine).run());
    switches.set("panic");
    let error = run("x").unwrap_err();
    assert!(
        matches!(&error, RunError::Engine(Error::Panicked { message, .. }) if message == "it broke"),
        "{error}"
    );
    switches.set("catch");
    assert_eq!(run("y").unwrap(), 12);
    engine.rewind("y", "plain_4").unwrap();
    assert_eq!(run("y").unwrap(), 12);
    switches.clear();
    assert_eq!(run("x").unwrap(), 3);
    assert_eq!(log.lines().len(), 3);
}

#[workflow]
async fn two_streams() -> u32 {
    let numbers = |from: u32| (from..from + 2).map(|n| async move { plain("n").len() + n as usize });
    let (mut a, mut b) = (durable::unordered(numbers(0), 2), durable::unordered(numbers(10), 2));
    let first = if Switches::is_set("swap") { b.next().await } else { a.next().await };
    plain("last");
    u32::try_from(first.map_or(0, |(_, n)| n)).unwrap()
}

#[test]
fn a_call_for_the_next_branch_of_another_stream_is_refused_with_both_places() {
    let (engine, _, switches) = engine();
    let run = || block_on(two_streams::durable("x").on(&engine).run());
    run().unwrap();
    engine.rewind("x", "plain_3").unwrap();
    switches.set("swap");
    let error = run().unwrap_err();
    let RunError::Engine(Error::Divergence(divergence)) = &error else { panic!("{error}") };
    let text = divergence.to_string();
    assert_eq!(text.matches("next `next` (tests/unordered.rs:").count(), 2, "{text}");
}

#[step]
async fn asks_in_a_step() -> u32 {
    let (mut stream, numbers) = (durable::unordered((0..3).map(async |n: u32| n), 1), &mut Vec::new());
    while let Some((_, n)) = stream.next().await {
        numbers.push(n);
    }
    numbers.iter().sum()
}

#[workflow]
async fn of_a_step() -> u32 {
    asks_in_a_step().await
}

#[test]
fn a_stream_in_a_step_or_outside_a_run_only_runs() {
    let (engine, _, _) = engine();
    assert_eq!(block_on(of_a_step::durable("x").on(&engine).run()).unwrap(), 3);
    assert_eq!(keys(&engine, "x"), ["asks_in_a_step_0"]);
    assert_eq!(block_on(asks_in_a_step()), 3);
    let mut nothing = durable::unordered(Vec::<std::future::Ready<u8>>::new(), 3);
    assert_eq!(block_on(nothing.next()), None);
}

#[workflow]
async fn sleeps_beside() -> u32 {
    let mut stream = durable::unordered([fetch("first", 0), fetch("second", 9)], 2);
    let first = stream.next().await.map_or(9, |(index, _)| index);
    durable::future::sleep(Duration::from_hours(1)).await;
    drop(stream);
    u32::try_from(first).unwrap()
}

// A run that sleeps in its body is unloaded, unless something goes on beside that.
#[test]
fn a_run_in_the_background_stays_in_memory_while_it_has_a_stream() {
    let (log, switches, clock) = (Log::default(), Switches::default(), HeldClock::default());
    let engine = builder(&log, &switches).clock(clock.clone()).in_memory().unwrap();
    let handle = block_on(sleeps_beside::durable("x").on(&engine).start()).unwrap();
    while output(&engine, "x", "sleep_2").is_none() {
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        std::thread::yield_now();
        assert!(engine.run("x").unwrap().unwrap().owner.is_some());
    }
    clock.advance(Duration::from_hours(1));
    assert_eq!(handle.wait().unwrap(), 0);
    assert_eq!(log.count("begins second"), 1);
}

type Tasks = std::sync::Arc<smol::Executor<'static>>;

#[workflow]
async fn moves() -> u32 {
    let mut stream = durable::unordered([async { plain("moved").len() }], 1);
    durable::resource::<Tasks>().spawn(async move { _ = stream.next().await }).detach();
    pending::<()>().await;
    1
}

#[test]
fn a_stream_that_is_asked_outside_its_run_ends_it() {
    let (log, switches, tasks) = (Log::default(), Switches::default(), Tasks::default());
    let engine = builder(&log, &switches).with(Tasks::clone(&tasks)).in_memory().unwrap();
    let error = smol::block_on(tasks.run(moves::durable("x").on(&engine).run())).unwrap_err();
    let RunError::Engine(Error::Unstructured(moved)) = &error else { panic!("{error}") };
    assert!(moved.to_string().contains("construct `unordered` (tests/unordered.rs:"), "{moved}");
    assert!(log.lines().is_empty());
}

#[workflow]
async fn many(count: u32) -> u64 {
    let branches = (0..count).map(|i| async move {
        turns((i * 7_919) % 13).await;
        u64::from(i)
    });
    let (mut stream, mut sum) = (durable::unordered(branches, 64), 0);
    while let Some((_, n)) = stream.next().await {
        sum += n;
    }
    sum
}

#[test]
fn a_long_stream_is_replayed_in_its_order_in_windows_too() {
    let (log, switches) = (Log::default(), Switches::default());
    let engine = builder(&log, &switches).history_bytes_max(0).in_memory().unwrap();
    let run = || block_on(many::durable("x", 1_000).on(&engine).run()).unwrap();
    assert_eq!(run(), 999 * 500);
    let order = rows(&engine, "x");
    engine.rewind("x", "next_900").unwrap();
    assert_eq!(run(), 999 * 500);
    assert_eq!(rows(&engine, "x")[..899], order[..899]);
}

const WORD: Topic<String> = Topic::new("word");

/// A branch that has received what it is not asked for any more, once a step has failed.
#[workflow]
async fn listens() -> Result<(Option<String>, Option<String>), String> {
    let branches = [true, false].map(|hears| async move {
        let word = if hears { durable::future::recv(WORD, Duration::MAX).await } else { None };
        turns(if hears { 100 } else { 10 }).await;
        word
    });
    let mut stream = durable::unordered(branches, 2);
    assert_eq!(stream.next().await, Some((1, None)));
    fetch("between", 1).await?;
    let heard = stream.next().await.and_then(|(_, word)| word);
    Ok((heard, durable::future::recv(WORD, Duration::ZERO).await))
}

/// The reason why it stays with the branch: that a stream was dropped is recorded nowhere, and here it was not for good.
#[test]
fn what_a_branch_had_received_when_its_stream_was_dropped_is_received_once() {
    let switches = Switches::default();
    let builder = builder(&Log::default(), &switches).clock(TestClock::default());
    let engine = builder.in_memory().unwrap();
    switches.set("between");
    block_on(listens::durable("a").on(&engine).start_after(Duration::from_hours(1))).unwrap();
    engine.send("a", WORD, "word".to_owned()).unwrap();
    let failed = block_on(listens::durable("a").on(&engine).run());
    assert!(matches!(failed, Err(RunError::Failed(_))), "{failed:?}");
    assert_eq!(engine.messages("a").unwrap()[0].received.as_ref().unwrap().to_string(), "0.0.0");
    switches.clear();
    assert_eq!(block_on(listens::durable("a").on(&engine).run()).unwrap(), (Some("word".to_owned()), None));
}
