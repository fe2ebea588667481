//! Events: values that a run publishes, and others read or wait for.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::time::Duration;

use durable::store::{Kind, RunRecord};
use durable::{Engine, Error, Event, RunError, step, workflow};
use support::{HeldClock, Log, Switches, builder, engine, keys};

const PROGRESS: Event<u8> = Event::new("progress");
const PLACE: Event<String> = Event::new("place");

const HOUR: Duration = Duration::from_hours(1);

#[step]
fn work() {
    Log::note("work");
    durable::set_event(PROGRESS, 50);
}

#[workflow]
fn publishes(fails: bool) -> Result<(), String> {
    durable::set_event(PROGRESS, 0);
    work();
    durable::set_event(PLACE, "Riga".to_owned());
    durable::set_event(PROGRESS, 100);
    if fails { Err("failed".into()) } else { Ok(()) }
}

#[workflow]
async fn publishes_polled() {
    durable::future::set_event(PROGRESS, 0).await;
    durable::future::set_event(PROGRESS, 100).await;
}

fn progress(engine: &Engine, id: &str) -> Option<u8> {
    engine.get_event(id, PROGRESS, Duration::ZERO).unwrap()
}

#[test]
fn the_last_value_counts_and_stays_when_the_run_has_ended() {
    let (engine, _, _) = engine();
    publishes::durable("a", false).on(&engine).run().unwrap();
    assert_eq!(progress(&engine, "a"), Some(100));
    assert_eq!(engine.get_event("a", PLACE, HOUR).unwrap().as_deref(), Some("Riga"));
    assert_eq!(keys(&engine, "a"), ["progress_0", "work_1", "place_2", "progress_3"]);
    let steps = engine.steps("a").unwrap();
    assert_eq!((steps[0].kind, &*steps[0].output), (Kind::SetEvent, "null"));
    let events: Vec<_> =
        engine.events("a").unwrap().into_iter().map(|event| (event.name, event.value)).collect();
    assert_eq!(events, [("place".into(), "\"Riga\"".into()), ("progress".into(), "100".to_owned())]);
}

#[test]
fn futures_publish_as_threads_do() {
    let (engine, _, _) = engine();
    support::block_on(publishes_polled::durable("a").on(&engine).run()).unwrap();
    assert_eq!(progress(&engine, "a"), Some(100));
}

#[test]
fn a_replay_publishes_nothing_again() {
    let (engine, log, _) = engine();
    publishes::durable("a", false).on(&engine).run().unwrap();
    engine.rewind("a", "progress_3").unwrap();
    assert_eq!(progress(&engine, "a"), Some(100), "what was published is not taken back");
    publishes::durable("a", false).on(&engine).run().unwrap();
    assert_eq!((progress(&engine, "a"), log.count("work")), (Some(100), 1), "50 would be of the step");
}

#[test]
fn a_run_that_has_no_such_event_is_waited_for_until_it_ends() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    assert!(matches!(engine.get_event("a", PROGRESS, HOUR), Err(Error::UnknownRun { .. })));
    let never = Duration::from_hours(1_000_000);
    support::block_on(publishes_polled::durable("a").on(&engine).start_after(never)).unwrap();
    std::thread::scope(|threads| {
        let waits = threads.spawn(|| engine.get_event("a", PROGRESS, HOUR).unwrap());
        while !waits.is_finished() {
            clock.advance(HOUR);
            std::thread::yield_now();
        }
        assert_eq!(waits.join().unwrap(), None, "its time has passed");
    });
    support::block_on(publishes_polled::durable("a").on(&engine).run()).unwrap();
    assert_eq!(engine.get_event("a", PLACE, Duration::MAX).unwrap(), None, "it has ended without one");
    publishes::durable("b", true).on(&engine).run().unwrap_err();
    assert_eq!(engine.get_event("b", Event::<u8>::new("other"), Duration::MAX).unwrap(), None);
}

/// Waits for what another run publishes.
#[workflow]
fn follows(other: String) -> (Option<u8>, Option<String>, String) {
    let progress = durable::get_event(&other, PROGRESS, Duration::MAX).unwrap();
    let place = durable::get_event(&other, PLACE, Duration::MAX).unwrap();
    let unknown = durable::get_event("nobody", PLACE, Duration::MAX).unwrap_err();
    Log::push(&durable::resource::<Log>(), "followed");
    (progress, place, unknown.to_string())
}

#[workflow]
async fn follows_polled(other: String) -> (Option<u8>, Option<String>) {
    let progress = durable::future::get_event(&other, PROGRESS, Duration::MAX).await.unwrap();
    (progress, durable::future::get_event(&other, PLACE, Duration::MAX).await.unwrap())
}

fn until(engine: &Engine, id: &str, is: impl Fn(&RunRecord) -> bool) {
    while !is(&engine.run(id).unwrap().unwrap()) {
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_waits_for_an_event_is_unloaded_and_woken_and_replays_what_it_read() {
    let clock = HeldClock::default();
    let (log, switches) = (Log::default(), Switches::default());
    let engine = builder(&log, &switches).clock(clock.clone()).in_memory().unwrap();
    publishes::durable("a", false).on(&engine).start_after(HOUR).unwrap();
    let handle = follows::durable("b", "a".into()).on(&engine).start().unwrap();
    let polled = support::block_on(follows_polled::durable("c", "a".into()).on(&engine).start()).unwrap();
    for id in ["b", "c"] {
        until(&engine, id, |run| run.awaits.is_some());
        assert_eq!(engine.run(id).unwrap().unwrap().awaits.unwrap().to_string(), "run/a");
    }
    clock.advance(HOUR);
    let (progress, place, unknown) = handle.wait().unwrap();
    assert!(progress.is_some());
    assert_eq!(place.as_deref(), Some("Riga"));
    assert_eq!(unknown, "there is no run \"nobody\"; start it with `run_durable`");
    assert_eq!(support::block_on(polled.into_future()).unwrap().1.as_deref(), Some("Riga"));
    let steps = engine.steps("b").unwrap();
    let read: Vec<_> = steps.iter().map(|step| (step.kind, step.output.clone())).collect();
    assert_eq!(
        read[1..],
        [(Kind::GetEvent, "[\"Riga\"]".into()), (Kind::GetEvent, "\"UNKNOWN\"".to_owned())]
    );
    assert_eq!(log.count("followed"), 1);
}

#[test]
fn the_end_of_a_run_wakes_who_waits_for_an_event_of_it() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    support::block_on(publishes_polled::durable("a").on(&engine).start_after(HOUR)).unwrap();
    let handle = support::block_on(follows_polled::durable("b", "a".into()).on(&engine).start()).unwrap();
    until(&engine, "b", |run| run.awaits.is_some());
    engine.cancel("a").unwrap();
    assert_eq!(handle.wait().unwrap(), (None, None));
}

#[workflow]
fn fails() -> f64 {
    durable::set_event(Event::<f64>::new("float"), f64::NAN);
    0.5
}

#[test]
fn a_value_that_would_not_come_back_halts_the_run() {
    let (engine, _, _) = engine();
    let halted = fails::durable("a").on(&engine).run().unwrap_err();
    assert!(matches!(halted, RunError::Engine(Error::UnstorableValue { .. })), "{halted}");
    assert!(engine.events("a").unwrap().is_empty() && engine.steps("a").unwrap().is_empty());
}

#[test]
fn an_event_of_another_type_is_told_of() {
    let (engine, _, _) = engine();
    publishes::durable("a", false).on(&engine).run().unwrap();
    let wrong = engine.get_event("a", Event::<bool>::new("place"), HOUR).unwrap_err();
    assert!(matches!(wrong, Error::UndecodableValue { name: "place", .. }), "{wrong}");
}

#[test]
#[should_panic(expected = "`durable::set_event` of `progress` was called outside a run")]
fn outside_a_run_there_is_nothing_to_publish() {
    durable::set_event(PROGRESS, 1);
}
