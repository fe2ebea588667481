//! What a run writes, and when: its start, a record of each operation, its end, and nothing besides. What is not
//! written yet is given to nobody, and a future waits for a write only where it is awaited.

mod support;

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use durable::store::memory::MemoryStore;
use durable::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use durable::{Engine, Error, RunError, step, workflow};
use support::{Log, Switches};

/// Where writes are handed in: it notes them, and can be shut or full.
#[derive(Clone, Default)]
struct Desk(Arc<(Mutex<Hours>, Condvar)>);

#[derive(Default)]
struct Hours {
    written: Vec<&'static str>,
    is_shut: bool,
    is_full: bool,
    waiting: u32,
}

impl Desk {
    fn set(&self, change: impl FnOnce(&mut Hours)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn someone_waits(&self) -> bool {
        self.0.0.lock().unwrap().waiting > 0
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.0.lock().unwrap().written)
    }

    fn hand_in(&self, ops: &[Op]) -> Result<(), StoreError> {
        let (hours, changed) = &*self.0;
        let mut hours = hours.lock().unwrap();
        hours.waiting += 1;
        let mut hours = changed.wait_while(hours, |hours| hours.is_shut).unwrap();
        hours.waiting -= 1;
        if hours.is_full {
            return Err(StoreError::Unavailable { action: "write".into(), reason: "disk full".into() });
        }
        hours.written.extend(ops.iter().map(word));
        Ok(())
    }
}

fn word(op: &Op) -> &'static str {
    match op {
        Op::Start(_) => "start",
        Op::Claim(_) => "claim",
        Op::Record(_) => "record",
        Op::Finish(_) => "finish",
        Op::Release(_) => "release",
        _ => "another op",
    }
}

/// A store that writes where the desk lets it.
struct Store(MemoryStore, Desk);

impl StepStore for Store {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        self.1.hand_in(ops)?;
        self.0.apply(ops)
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.0.reader()
    }

    fn owner(&self) -> OwnerId {
        self.0.owner()
    }
}

fn engine() -> (Engine, Desk, Log, Switches) {
    let (desk, log, switches) = (Desk::default(), Log::default(), Switches::default());
    let builder = support::builder(&log, &switches).with(desk.clone());
    (builder.store(Store(MemoryStore::default(), desk.clone())).unwrap(), desk, log, switches)
}

/// What `run` comes to on a thread of its own. The bound only ends a test that hangs.
fn ends<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(run()));
    ended.recv_timeout(Duration::from_mins(1)).expect("it hangs")
}

#[step]
fn work() -> f64 {
    if Switches::is_set("unstorable") { f64::NAN } else { 1.0 }
}

#[workflow]
fn twice() -> f64 {
    let first = work();
    assert!(!Switches::is_set("panic"), "the body panics");
    first + work()
}

#[step]
async fn work_later() -> f64 {
    if Switches::is_set("unstorable") { f64::NAN } else { 1.0 }
}

#[workflow]
async fn twice_later() -> f64 {
    let first = work_later().await;
    assert!(!Switches::is_set("panic"), "the body panics");
    first + work_later().await
}

fn run(engine: &Engine, polled: bool) -> Result<f64, Error> {
    let ended = if polled {
        smol::block_on(twice_later::durable("x").on(engine).run())
    } else {
        twice::durable("x").on(engine).run()
    };
    ended.map_err(|error| match error {
        RunError::Engine(error) => error,
        RunError::Failed(never) => match never {},
    })
}

#[test]
fn a_run_writes_its_start_its_steps_and_its_end() {
    for polled in [false, true] {
        let (engine, desk, _, _) = engine();
        run(&engine, polled).unwrap();
        assert_eq!(desk.take(), ["start", "record", "record", "finish"]);
        run(&engine, polled).unwrap();
        assert!(desk.take().is_empty(), "it has ended");
    }
}

#[test]
fn a_run_that_is_interrupted_is_given_up_once_and_records_what_is_new() {
    for polled in [false, true] {
        let (engine, desk, _, switches) = engine();
        switches.set("panic");
        run(&engine, polled).unwrap_err();
        assert_eq!(desk.take(), ["start", "record", "release"]);
        switches.clear();
        run(&engine, polled).unwrap();
        assert_eq!(desk.take(), ["claim", "record", "finish"]);
    }
}

#[test]
fn a_run_that_is_halted_is_given_up_by_its_end() {
    for polled in [false, true] {
        let (engine, desk, _, switches) = engine();
        switches.set("unstorable");
        assert!(matches!(run(&engine, polled), Err(Error::Unstorable { .. })));
        assert_eq!(desk.take(), ["start", "finish"]);
    }
}

/// Shuts the desk, or fills it, before its outcome is recorded.
#[step]
async fn shuts(full: bool) {
    durable::resource::<Desk>().set(|hours| (hours.is_shut, hours.is_full) = (!full, full));
}

#[workflow]
async fn goes_on(full: bool) {
    shuts(full).await;
    Log::note("it went on");
}

#[test]
fn an_async_step_is_given_back_once_it_is_recorded() {
    let (engine, desk, log, _) = engine();
    let mut run = Box::pin(goes_on::durable("x", false).on(&engine).run());
    let mut poll = || assert!(smol::block_on(smol::future::poll_once(&mut run)).is_none());
    while !(desk.someone_waits() && desk.0.0.lock().unwrap().is_shut) {
        poll();
    }
    (0..10).for_each(|_| poll());
    let early = log.lines();
    // Before anything can fail: the end of an engine waits for its writes.
    desk.set(|hours| hours.is_shut = false);
    assert!(early.is_empty());
    smol::block_on(run).unwrap();
    assert_eq!(log.lines(), ["it went on"]);
}

#[test]
fn an_async_step_that_cannot_be_recorded_is_not_given_back() {
    let (engine, desk, log, _) = engine();
    let ended = smol::block_on(goes_on::durable("x", true).on(&engine).run());
    assert!(matches!(ended, Err(RunError::Engine(Error::Store { .. }))), "{ended:?}");
    assert!(log.lines().is_empty());
    desk.set(|hours| hours.is_full = false);
    assert!(desk.take().iter().all(|op| *op != "record"));
}

#[workflow]
async fn stays() -> u32 {
    Log::note("it stays");
    std::future::pending().await
}

#[test]
fn a_future_that_is_dropped_waits_for_no_write() {
    let (engine, desk, log, _) = engine();
    let mut run = Box::pin(stays::durable("x").on(&engine).run());
    while log.lines().is_empty() {
        assert!(smol::block_on(smol::future::poll_once(&mut run)).is_none());
    }
    desk.set(|hours| hours.is_shut = true);
    ends(move || drop(run));
    desk.set(|hours| hours.is_shut = false);
    while engine.run("x").unwrap().unwrap().owner.is_some() {
        thread::yield_now();
    }
    assert_eq!(desk.take(), ["start", "release"]);
}
