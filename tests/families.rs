//! Wide and deep trees of runs: a thousand children of one run, in processes that are killed in the middle, and runs that stand
//! fifty deep, cancelled from their root. The first test is also the program of its child processes.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

#[path = "support/actors.rs"]
mod actors;
mod support;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actors::{Actor, Place, hear, role, say};
use durable::store::Kind;
use durable::{Engine, Error, RunError, RunStatus, step, workflow};
use support::HeldClock;

const CHILDREN: u32 = 1_000;

/// A process is killed when the log has so many lines: while children are started, and while they are waited for.
const KILLED_AT: [usize; 4] = [150, 700, 1_300, 1_900];

const DEPTH: u32 = 50;

#[step]
fn square(n: u32) -> u64 {
    durable::resource::<Place>().note(&format!("effect {n}"));
    u64::from(n) * u64::from(n)
}

#[workflow]
fn child(n: u32) -> u64 {
    let value = square(n);
    durable::resource::<Place>().note(&format!("got {n}"));
    value
}

#[workflow]
fn wide() -> u64 {
    let children: Vec<_> = (0..CHILDREN).map(|n| child::start(format!("child{n}"), n).unwrap()).collect();
    children.iter().map(|child| child.wait().unwrap()).sum()
}

fn serve(place: &Place) {
    let engine = Engine::builder().with(place.clone()).recover(true).open(place.database()).unwrap();
    let sum = wide::durable("root").on(&engine).start().unwrap().wait().unwrap();
    say(&format!("the root ended: {sum}"));
    hear();
}

#[test]
fn a_thousand_children_are_each_started_once_and_come_to_their_ends_when_their_processes_are_killed() {
    const TEST: &str =
        "a_thousand_children_are_each_started_once_and_come_to_their_ends_when_their_processes_are_killed";
    if let Some((_, place)) = role() {
        return serve(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    place.note("begin");
    let mut log = place.follow();
    for lines in KILLED_AT {
        let mut process = Actor::start(TEST, "serve", folder.path());
        while log.count() < lines {
            std::thread::yield_now();
        }
        process.kill();
    }
    let cut = log.count();
    let mut process = Actor::start(TEST, "serve", folder.path());
    let sum: u64 = (0..u64::from(CHILDREN)).map(|n| n * n).sum();
    assert_eq!(process.last_words(), format!("the root ended: {sum}"));
    process.kill();
    check_family(&place, cut);
}

fn check_family(place: &Place, cut: usize) {
    let effects = place.effects();
    let (mut taken, mut acknowledged): (HashMap<&str, u32>, HashSet<&str>) = Default::default();
    for line in &effects[1..] {
        let (what, n) = line.split_once(' ').unwrap();
        if what == "effect" {
            assert!(!acknowledged.contains(n), "{line} again after it was acknowledged");
            *taken.entry(n).or_default() += 1;
        } else {
            acknowledged.insert(n);
        }
    }
    assert_eq!((taken.len(), acknowledged.len()), (CHILDREN as usize, CHILDREN as usize));
    let engine = Engine::open(place.database()).unwrap();
    let runs: Vec<_> = engine.runs().map(Result::unwrap).collect();
    assert_eq!(runs.len(), CHILDREN as usize + 1);
    assert!(runs.iter().all(|run| run.status == RunStatus::Completed && run.owner.is_none()));
    let is_child =
        |run: &&durable::store::RunRecord| run.parent.as_ref().is_some_and(|id| id.as_str() == "root");
    assert_eq!(runs.iter().filter(is_child).count(), CHILDREN as usize);
    // One start and one wait of each is recorded.
    let steps = engine.steps("root").unwrap();
    let kinds = |kind: Kind| steps.iter().filter(|step| step.kind == kind).count();
    let [starts, waits] = [Kind::Start, Kind::Workflow].map(kinds);
    assert_eq!((starts, waits, steps.len()), (CHILDREN as usize, CHILDREN as usize, 2 * CHILDREN as usize));
    let repeated: u32 = taken.values().map(|times| times - 1).sum();
    println!(
        "{} kills, the last after {cut} of {} lines: {CHILDREN} children, {repeated} effects repeated before they \
         were acknowledged, 0 after",
        KILLED_AT.len(),
        effects.len()
    );
}

const DAY: Duration = Duration::from_hours(24);

/// Children in this run, at every tenth level one of its own; the last one waits for ever.
#[workflow]
fn deep(level: u32) -> u32 {
    match level {
        0 => {
            durable::sleep(10_000 * DAY);
            0
        }
        _ if level.is_multiple_of(10) => 1 + deep::run_durable(format!("level{level}"), level - 1).unwrap(),
        _ => 1 + deep(level - 1),
    }
}

/// The same of children that are all started.
#[workflow]
fn chain(level: u32) -> u32 {
    if level == 0 {
        durable::sleep(10_000 * DAY);
        return 0;
    }
    1 + chain::start(format!("level{level}"), level - 1).unwrap().wait().unwrap()
}

/// Whether the sleep has begun that this run ends in.
fn sleeps(engine: &Engine, id: &str) -> bool {
    engine.steps(id).unwrap().last().is_some_and(|step| step.kind == Kind::Sleep)
}

/// Cancels the root once its last descendant waits; how many runs there were, and whether all of them were cancelled.
fn cancel(engine: &Engine, last: &str) -> (usize, bool) {
    while !sleeps(engine, last) {
        std::thread::yield_now();
    }
    engine.cancel("root").unwrap();
    let ids: Vec<_> = engine.runs().map(|run| run.unwrap().id).collect();
    for id in &ids {
        while engine.run(id).unwrap().unwrap().status == RunStatus::Running {
            std::thread::yield_now();
        }
    }
    let status = |id| engine.run(id).unwrap().unwrap().status;
    (ids.len(), ids.iter().all(|id| status(id) == RunStatus::Cancelled))
}

fn is_cancelled<T>(ended: &Result<T, RunError<std::convert::Infallible>>) -> bool {
    matches!(ended, Err(RunError::Engine(Error::Cancelled { .. })))
}

#[test]
fn a_tree_that_is_fifty_deep_is_cancelled_from_its_root() {
    let open = || Engine::builder().clock(HeldClock::default()).in_memory().unwrap();
    let engine = open();
    let handle = chain::durable("root", DEPTH).on(&engine).start().unwrap();
    assert_eq!(cancel(&engine, "level1"), (DEPTH as usize + 1, true));
    assert!(is_cancelled(&handle.wait()));

    let engine = open();
    let handle = deep::durable("root", DEPTH).on(&engine).start().unwrap();
    assert_eq!(cancel(&engine, "level10"), (DEPTH as usize / 10 + 1, true));
    assert!(is_cancelled(&handle.wait()));
}
