//! Several sequences of steps that run at once in one run, on threads and as futures, in processes that are killed in the
//! middle: each sequence gets its own results back, whichever was ahead when the process died. The test is also the
//! program of its child processes, which it starts with a role.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

#[path = "support/actors.rs"]
mod actors;

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use actors::{Actor, Place, role, say};
use durable::{Engine, step, workflow};

const SEQUENCES: usize = 3;
const STEPS: usize = 5;

/// The process stops at this effect, counted down: that sequence goes no further, the others do.
struct Strike(AtomicUsize);

/// Notes an effect, and whether it is the one at which the process is to be killed.
fn takes_effect(sequence: usize, n: usize) -> bool {
    durable::resource::<Place>().note(&format!("effect {sequence} {n}"));
    let is_struck = durable::resource::<Strike>().0.fetch_sub(1, Ordering::Relaxed) == 1;
    if is_struck {
        say("in the middle");
    }
    is_struck
}

/// What a step made: whose it is, and in which process.
fn made(sequence: usize, n: usize) -> String {
    format!("{sequence}.{n} by {}", std::process::id())
}

/// Its arguments are not looked at on replay, so nothing but its position tells whose it is.
#[step(args = ignore)]
fn part(sequence: usize, n: usize) -> String {
    if takes_effect(sequence, n) {
        // Until the process is killed; parking may end by itself.
        loop {
            thread::park();
        }
    }
    made(sequence, n)
}

#[step(args = ignore)]
async fn part_polled(sequence: usize, n: usize) -> String {
    smol::future::yield_now().await;
    if takes_effect(sequence, n) {
        pending::<()>().await;
    }
    made(sequence, n)
}

fn acknowledge(sequence: usize, n: usize, value: &str) {
    durable::resource::<Place>().note(&format!("got {sequence} {n} {value}"));
}

#[workflow]
fn on_threads() -> Vec<Vec<String>> {
    durable::map(0..SEQUENCES, SEQUENCES, |sequence| {
        (0..STEPS)
            .map(|n| {
                let value = part(sequence, n);
                acknowledge(sequence, n, &value);
                value
            })
            .collect()
    })
}

async fn sequence(sequence: usize) -> Vec<String> {
    let mut values = Vec::new();
    for n in 0..STEPS {
        let value = part_polled(sequence, n).await;
        acknowledge(sequence, n, &value);
        values.push(value);
    }
    values
}

#[workflow]
async fn as_futures() -> Vec<Vec<String>> {
    let (first, second, third) = durable::join!(sequence(0), sequence(1), sequence(2));
    vec![first, second, third]
}

fn execute(place: &Place, role: &str) {
    let (kind, strike) = role.split_once(' ').unwrap();
    let strike = Strike(AtomicUsize::new(strike.parse().unwrap()));
    let engine = Engine::builder().with(place.clone()).with(strike).open(place.database()).unwrap();
    let values = match kind {
        "threads" => on_threads::durable("run").on(&engine).run().unwrap(),
        _ => actors::block_on(as_futures::durable("run").on(&engine).run()).unwrap(),
    };
    assert_eq!(values.len(), SEQUENCES);
    for (sequence, values) in values.iter().enumerate() {
        place.note(&format!("end {sequence} {}", values.join(", ")));
    }
    say("it ended: whole");
}

/// What the log of a run shows that was killed so many times.
fn check_log(place: &Place, kills: usize) {
    let mut acknowledged = HashMap::new();
    let mut ends = 0;
    for line in place.effects() {
        let (what, rest) = line.split_once(' ').unwrap();
        let (sequence, rest) = rest.split_once(' ').unwrap();
        match what {
            "effect" => assert!(!acknowledged.contains_key(&format!("{sequence}.{rest}")), "{line} again"),
            "got" => {
                let (n, value) = rest.split_once(' ').unwrap();
                let place = format!("{sequence}.{n}");
                assert!(value.starts_with(&format!("{place} by ")), "another's result: {line}");
                let first = acknowledged.entry(place).or_insert_with(|| value.to_owned());
                assert_eq!(first, value, "another result than before: {line}");
            }
            _ => {
                let own: Vec<_> = (0..STEPS).map(|n| &*acknowledged[&format!("{sequence}.{n}")]).collect();
                assert_eq!(rest, own.join(", "));
                ends += 1;
            }
        }
    }
    let processes: std::collections::HashSet<_> =
        acknowledged.values().map(|value| value.split_once(" by ").unwrap().1).collect();
    assert_eq!((acknowledged.len(), ends), (SEQUENCES * STEPS, SEQUENCES));
    println!("{kills} kills, results of {} processes, 0 swapped", processes.len());
}

/// Kills each process at its `nth(process)`-th effect, until one comes to the end.
fn check(test: &str, kind: &str, nth: impl Fn(usize) -> usize) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    for kills in 0.. {
        let mut process = Actor::start(test, &format!("{kind} {}", nth(kills)), folder.path());
        if process.says_first("in the middle", "it ended: whole") {
            process.kill();
            continue;
        }
        // As few as there are if the others come to their ends while one stands.
        assert!(kills >= 2, "{kind}: it was killed {kills} times");
        return check_log(&place, kills);
    }
}

fn check_all(test: &str, kind: &str) {
    if let Some((role, place)) = role() {
        return execute(&place, &role);
    }
    check(test, kind, |process| process + 1);
    check(test, kind, |process| process % 3 + 2);
}

/// DBOS swaps the results of such sequences: it counts their steps as they come.
#[test]
fn concurrent_sequences_of_threads_get_their_own_results_back_after_a_kill() {
    check_all("concurrent_sequences_of_threads_get_their_own_results_back_after_a_kill", "threads");
}

#[test]
fn concurrent_sequences_of_futures_get_their_own_results_back_after_a_kill() {
    check_all("concurrent_sequences_of_futures_get_their_own_results_back_after_a_kill", "futures");
}
