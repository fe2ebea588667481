//! A wall clock that is set back while something waits for a time. Whatever is to happen then happens once, and not before the
//! clock shows that time, in the process that began to wait and in one that comes after it; and not again when the clock
//! shows that time once more.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod support;

use std::future::pending;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use durable::{Clock, Engine, Event, RunStatus, Topic, step, workflow};
use support::{HELD_START_MS, HeldClock, Log, block_on};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: i64 = 3_600_000;

/// So long each of them waits for.
const DUE_MS: i64 = HELD_START_MS + HOUR_MS;

const WORD: Topic<String> = Topic::new("word");
const EVENT: Event<u8> = Event::new("event");

/// Notes what has happened, and whether the wall clock did not show its time yet.
#[step]
fn note(what: &str) {
    let is_early = durable::resource::<HeldClock>().now().as_millis() < DUE_MS;
    Log::note(if is_early { format!("{what}, early") } else { what.to_owned() });
}

#[workflow]
fn sleeps() {
    durable::sleep(HOUR);
    note("slept");
}

#[workflow]
async fn sleeps_polled() {
    durable::future::sleep(HOUR).await;
    note("slept");
}

#[workflow]
fn receives() -> Option<String> {
    let word = durable::recv(WORD, HOUR);
    note("received");
    word
}

#[workflow]
fn reads() -> Option<u8> {
    let value = durable::get_event("other", EVENT, HOUR).unwrap();
    note("read");
    value
}

#[workflow]
async fn times() -> bool {
    let is_over = durable::timeout(HOUR, pending::<()>()).await.is_err();
    note("timed out");
    is_over
}

#[workflow]
async fn races() -> u8 {
    let first = async {
        durable::future::sleep(HOUR).await;
        1
    };
    let second = async {
        durable::future::sleep(2 * HOUR).await;
        2
    };
    let won = durable::race!(first, second);
    note("decided");
    won
}

#[workflow]
fn begins() {
    note("begun");
}

#[workflow]
fn does_not_end() {
    durable::sleep(100 * HOUR);
}

/// A store whose engine is closed and opened again, and the time that it goes by.
struct Bench {
    folder: tempfile::TempDir,
    clock: HeldClock,
    log: Log,
    engine: Engine,
    /// How many runs beside those that wait there were.
    own: AtomicU32,
}

impl Bench {
    fn new() -> Self {
        let (folder, clock, log) = (tempfile::tempdir().unwrap(), HeldClock::default(), Log::default());
        let engine = open(folder.path(), &clock, &log);
        Self { folder, clock, log, engine, own: AtomicU32::new(0) }
    }

    /// Closes the engine, and opens another one that recovers, as another process would.
    fn open_again(self) -> Self {
        assert!(self.engine.shutdown(HOUR).is_empty());
        let Self { folder, clock, log, engine, own } = self;
        drop(engine);
        let engine = open(folder.path(), &clock, &log);
        Self { folder, clock, log, engine, own }
    }

    fn ended(&self) -> Option<(RunStatus, Option<String>)> {
        let run = self.engine.run("a").unwrap().unwrap();
        (run.status != RunStatus::Running).then_some((run.status, run.output))
    }

    /// The engine has had its turn: a run of its own has come to its end, a called one and a polled one.
    fn settle(&self) {
        for _ in 0..3 {
            let id = format!("own{}", self.own.fetch_add(1, Ordering::Relaxed));
            quick::durable(&id).on(&self.engine).start().unwrap().wait().unwrap();
            let polled = block_on(quick_polled::durable(format!("polled{id}")).on(&self.engine).start());
            polled.unwrap().wait().unwrap();
        }
    }

    #[track_caller]
    fn check_waits(&self) {
        self.settle();
        assert_eq!((self.ended(), self.log.lines()), (None, Vec::new()));
    }

    /// Lets time pass until the run has ended, and sees that the wall clock shows when it was to.
    #[track_caller]
    fn come_to_the_end(&self) -> (RunStatus, Option<String>) {
        loop {
            let now = self.clock.now().as_millis();
            if let Some(ended) = self.ended() {
                assert!(now >= DUE_MS, "it ended {} ms early", DUE_MS - now);
                return ended;
            }
            self.clock.advance(MINUTE);
            std::thread::yield_now();
        }
    }
}

fn open(folder: &Path, clock: &HeldClock, log: &Log) -> Engine {
    let builder = Engine::builder().with(log.clone()).with(clock.clone()).clock(clock.clone());
    builder.recover(true).open(folder.join("runs.db")).unwrap()
}

#[workflow]
fn quick() {}

#[workflow]
async fn quick_polled() {}

/// `start` begins to wait for an hour as run "a", and `waits` tells when it does.
#[track_caller]
fn check(
    start: impl Fn(&Engine),
    waits: impl Fn(&Engine) -> bool,
    ended: (RunStatus, Option<&str>),
    effects: &[&str],
) {
    for back_hours in [1_u32, 24, 24 * 365] {
        let back_ms = HOUR_MS * i64::from(back_hours);
        let bench = Bench::new();
        start(&bench.engine);
        while !waits(&bench.engine) {
            std::thread::yield_now();
        }
        bench.clock.set_wall(-back_ms);
        bench.clock.advance(59 * MINUTE);
        bench.check_waits();
        bench.clock.advance(MINUTE);
        bench.check_waits();
        bench.clock.set_wall(-back_ms);
        let bench = bench.open_again();
        bench.check_waits();
        bench.clock.set_wall(2 * back_ms - HOUR_MS);
        bench.check_waits();
        let ended = (ended.0, ended.1.map(str::to_owned));
        assert_eq!(bench.come_to_the_end(), ended, "{back_hours} hours");
        assert_eq!(bench.log.lines(), effects);
        // Once more the clock comes to that time, and to when it all began, here and in another process.
        bench.clock.set_wall(-back_ms - 2 * HOUR_MS);
        bench.clock.advance(HOUR * (back_hours + 3));
        bench.settle();
        bench.clock.set_wall(-back_ms - 4 * HOUR_MS);
        let bench = bench.open_again();
        bench.clock.advance(HOUR * (back_hours + 6));
        bench.settle();
        assert_eq!(bench.log.lines(), effects, "{back_hours} hours");
        assert_eq!(bench.ended(), Some(ended), "{back_hours} hours");
    }
}

fn is_unloaded(engine: &Engine) -> bool {
    engine.run("a").unwrap().unwrap().wake_at.is_some()
}

/// Whether so many sleeps have begun.
fn has_slept(engine: &Engine, count: usize) -> bool {
    let steps = engine.steps("a").unwrap();
    steps.iter().filter(|step| &*step.name == "sleep").count() == count
}

#[test]
fn a_sleep_ends_once_when_the_clock_shows_its_time() {
    let start = |engine: &Engine| drop(sleeps::durable("a").on(engine).start().unwrap());
    check(start, is_unloaded, (RunStatus::Completed, Some("null")), &["slept"]);
    let start = |engine: &Engine| drop(block_on(sleeps_polled::durable("a").on(engine).start()).unwrap());
    check(start, is_unloaded, (RunStatus::Completed, Some("null")), &["slept"]);
}

#[test]
fn a_wait_for_a_message_is_over_once_when_the_clock_shows_its_time() {
    let start = |engine: &Engine| drop(receives::durable("a").on(engine).start().unwrap());
    check(start, is_unloaded, (RunStatus::Completed, Some("null")), &["received"]);
}

#[test]
fn a_wait_for_an_event_is_over_once_when_the_clock_shows_its_time() {
    let start = |engine: &Engine| {
        drop(does_not_end::durable("other").on(engine).start_after(Duration::MAX).unwrap());
        drop(reads::durable("a").on(engine).start().unwrap());
    };
    check(start, is_unloaded, (RunStatus::Completed, Some("null")), &["read"]);
}

#[test]
fn a_timeout_is_over_once_when_the_clock_shows_its_time() {
    let start = |engine: &Engine| drop(block_on(times::durable("a").on(engine).start()).unwrap());
    let waits = |engine: &Engine| has_slept(engine, 1);
    check(start, waits, (RunStatus::Completed, Some("true")), &["timed out"]);
}

#[test]
fn a_race_of_sleeps_is_decided_once_when_the_clock_shows_the_time_of_the_first() {
    let start = |engine: &Engine| drop(block_on(races::durable("a").on(engine).start()).unwrap());
    let waits = |engine: &Engine| has_slept(engine, 2);
    check(start, waits, (RunStatus::Completed, Some("1")), &["decided"]);
}

#[test]
fn a_delayed_run_begins_once_when_the_clock_shows_its_time() {
    let start = |engine: &Engine| drop(begins::durable("a").on(engine).start_after(HOUR).unwrap());
    check(start, is_unloaded, (RunStatus::Completed, Some("null")), &["begun"]);
}

#[test]
fn a_run_is_cancelled_once_when_the_clock_shows_its_deadline() {
    let start = |engine: &Engine| {
        drop(does_not_end::durable("a").on(engine).deadline(HOUR).start().unwrap());
    };
    check(start, is_unloaded, (RunStatus::Cancelled, None), &[]);
}

/// What comes is told by whoever brings it, and not by a clock.
#[test]
fn a_message_that_comes_while_the_clock_is_behind_is_received_once_and_ends_the_wait() {
    let bench = Bench::new();
    let handle = receives::durable("a").on(&bench.engine).start().unwrap();
    while !is_unloaded(&bench.engine) {
        std::thread::yield_now();
    }
    bench.clock.set_wall(-24 * HOUR_MS);
    let bench = bench.open_again();
    bench.check_waits();
    bench.engine.send("a", WORD, "there".to_owned()).unwrap();
    drop(handle);
    let handle = bench.engine.handle::<receives>("a").unwrap().unwrap();
    assert_eq!(handle.wait().unwrap().as_deref(), Some("there"));
    bench.clock.advance(48 * HOUR);
    bench.settle();
    assert_eq!(bench.log.lines(), ["received, early"]);
}
