//! Runs that are crashed at every write, and what their rows are then.
#![allow(dead_code, reason = "each test file uses a part of it")]

use durable::store::memory::MemoryStore;
use durable::store::{Kind, StepStatus};
use durable::{Engine, Error, RunError};

use crate::store::Faulty;
use crate::support::{self, Log, Switches, keys};

/// The rows of a run: key, kind, status and output.
pub(crate) fn rows(engine: &Engine, id: &str) -> Vec<(String, Kind, StepStatus, String)> {
    let steps = engine.steps(id).unwrap().into_iter();
    steps.map(|step| (step.key().to_string(), step.kind, step.status, step.output)).collect()
}

/// What is recorded at `key`.
pub(crate) fn output(engine: &Engine, id: &str, key: &str) -> Option<String> {
    rows(engine, id).into_iter().find(|row| row.0 == key).map(|row| row.3)
}

/// An engine whose store fails at its `write`-th write, before or after it is done.
pub(crate) fn faulty(write: u32, after: bool) -> (Engine, Log) {
    let (log, switches) = (Log::default(), Switches::default());
    let store = Faulty::new(MemoryStore::default(), vec![(write, after)]);
    (support::builder(&log, &switches).store(store).unwrap(), log)
}

pub(crate) type Ran<T> = Result<T, RunError<String>>;

/// Runs `run` again and again until the store lets it end; tells `crashed` after each time that it did not.
pub(crate) fn to_the_end<T>(mut run: impl FnMut() -> Ran<T>, mut crashed: impl FnMut()) -> T {
    loop {
        match run() {
            Ok(value) => return value,
            Err(RunError::Engine(Error::Store { .. })) => crashed(),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Runs `run` to its end on a store that fails once, at every write in turn, before and after it; whatever is
/// recorded at `decisions` when it fails has to stand in the end, and a replay has to come to the same.
pub(crate) fn check_crashes<T: PartialEq + std::fmt::Debug>(
    decisions: &[&str],
    run: impl Fn(&Engine) -> Ran<T>,
) {
    let mut most = 0;
    for write in 1..60 {
        for after in [false, true] {
            let (engine, log) = faulty(write, after);
            let read = || decisions.iter().map(|key| output(&engine, "x", key)).collect::<Vec<_>>();
            let mut seen = Vec::new();
            let value = to_the_end(|| run(&engine), || seen.push(read()));
            most = most.max(if seen.is_empty() { 0 } else { write });
            let decided = read();
            for (crashed, decided) in seen.iter().flatten().zip(decided.iter().cycle()) {
                assert!(crashed.is_none() || crashed == decided, "{write}: {seen:?}, then {decided:?}");
            }
            let (ran, last) = (log.lines().len(), keys(&engine, "x").pop().unwrap());
            while keys(&engine, "x").contains(&last) {
                _ = engine.rewind("x", &last);
            }
            assert_eq!(to_the_end(|| run(&engine), || ()), value);
            assert!(last.starts_with("plain_"), "the last step is one that notes itself");
            // A write that fails now has the last step run again, and nothing else.
            let again = log.lines().split_off(ran);
            assert!(again.iter().all(|line| Some(line) == again.last()), "{again:?}");
        }
    }
    assert!(most >= 3, "it failed at {most} writes");
}
