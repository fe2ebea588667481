//! What the tests of behaviour share: a log of effects, and the rows of a run.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use durable::{Alarm, Builder, Clock, Engine, Timestamp};

/// What the bodies of steps did, in order. A resource of the engine, so that no two tests share one.
#[derive(Default, Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Notes an effect in the log of the current run's engine.
    pub(crate) fn note(text: impl Into<String>) {
        durable::resource::<Log>().push(text);
    }

    pub(crate) fn push(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| *line == text).count()
    }
}

/// A switch that tests set and steps read, by name.
#[derive(Default, Clone)]
pub(crate) struct Switches(Arc<Mutex<Vec<String>>>);

impl Switches {
    pub(crate) fn set(&self, name: &str) {
        self.0.lock().unwrap().push(name.into());
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Whether the engine of the current run has the switch set.
    pub(crate) fn is_set(name: &str) -> bool {
        durable::resource::<Switches>().0.lock().unwrap().iter().any(|set| set == name)
    }
}

pub(crate) fn builder(log: &Log, switches: &Switches) -> Builder {
    Engine::builder().with(log.clone()).with(switches.clone())
}

pub(crate) fn engine() -> (Engine, Log, Switches) {
    let (log, switches) = (Log::default(), Switches::default());
    (builder(&log, &switches).in_memory().unwrap(), log, switches)
}

/// The keys of a run's recorded steps.
pub(crate) fn keys(engine: &Engine, id: &str) -> Vec<String> {
    engine.steps(id).unwrap().iter().map(|step| step.key().to_string()).collect()
}

/// Runs `future` to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    durable::__private::doc::block_on(future)
}

/// When a [`HeldClock`] starts: 2020-01-01T00:00:00Z.
pub(crate) const HELD_START_MS: i64 = 1_577_836_800_000;

/// Comes back to the executor so many times before it is ready.
pub(crate) async fn turns(count: u32) {
    for _ in 0..count {
        smol::future::yield_now().await;
    }
}

/// A clock whose time goes on only when the test says so; whoever waits, waits until then.
#[derive(Clone, Default)]
pub(crate) struct HeldClock(Arc<Mutex<HeldTime>>);

#[derive(Default)]
pub(crate) struct HeldTime {
    elapsed: Duration,
    /// How far the wall clock was set forward; back, if it is negative.
    set_ms: i64,
    alarms: Vec<(Duration, u64, Waker)>,
    next: u64,
}

impl HeldClock {
    /// Sets the wall clock forward, or back, by so many milliseconds; no time passes, and nobody is told.
    pub(crate) fn set_wall(&self, forward_ms: i64) {
        self.0.lock().unwrap().set_ms += forward_ms;
    }

    pub(crate) fn advance(&self, time: Duration) {
        let mut held = self.0.lock().unwrap();
        held.elapsed += time;
        let now = held.elapsed;
        let (due, later) = std::mem::take(&mut held.alarms).into_iter().partition(|(at, ..)| *at <= now);
        held.alarms = later;
        drop(held);
        let due: Vec<(Duration, u64, Waker)> = due;
        for (_, _, waker) in due {
            waker.wake();
        }
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        let (elapsed, set_ms) = {
            let held = self.0.lock().unwrap();
            (held.elapsed, held.set_ms)
        };
        Timestamp::from_millis(HELD_START_MS + set_ms).plus(elapsed)
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed
    }

    fn pause(&self, _: Duration) {
        unreachable!("the engine waits with alarms");
    }

    fn wake_after(&self, time: Duration, waker: Waker) -> Alarm {
        let mut held = self.0.lock().unwrap();
        let (at, number) = (held.elapsed.saturating_add(time), held.next);
        held.next += 1;
        held.alarms.push((at, number, waker));
        let clock = self.clone();
        Alarm::new(move || {
            let mut held = clock.0.lock().unwrap();
            let taken_back = held.alarms.iter().position(|(_, other, _)| *other == number);
            let alarm = taken_back.map(|i| held.alarms.remove(i));
            drop(held);
            drop(alarm);
        })
    }
}
