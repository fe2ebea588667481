//! What a workflow asks instead of the clock, the dice and the outside: the same answers on replay, and no
//! rows for them.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use durable::store::Kind;
use durable::{Engine, Error, RunError, TestClock, step, workflow};
use support::{Log, Switches, engine, keys};

type Moment = (SystemTime, u64, String, f64);

fn moment() -> Moment {
    (durable::now(), durable::random(), durable::uuid().to_string(), durable::random())
}

#[step]
fn takes_an_hour() {
    durable::resource::<TestClock>().advance(Duration::from_hours(1));
}

#[workflow]
fn moments() -> Vec<Moment> {
    let mut seen = vec![moment(), moment()];
    takes_an_hour();
    seen.push(moment());
    let (a, b) = durable::join(moment, moment);
    seen.extend([a, b]);
    durable::resource::<Log>().push(format!("{seen:?}"));
    assert!(!Switches::is_set("stop"));
    seen
}

fn with_clock() -> (Engine, Log, Switches, TestClock) {
    let (log, switches, clock) = (Log::default(), Switches::default(), TestClock::default());
    let engine =
        support::builder(&log, &switches).with(clock.clone()).clock(clock.clone()).in_memory().unwrap();
    (engine, log, switches, clock)
}

#[test]
fn moments_are_the_same_on_replay_and_cost_no_row() {
    let (engine, log, switches, clock) = with_clock();
    switches.set("stop");
    moments::durable("x").on(&engine).run().unwrap_err();
    clock.advance(Duration::from_hours(24));
    switches.clear();
    let seen = moments::durable("x").on(&engine).run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(keys(&engine, "x"), ["takes_an_hour_0"]);
    let randoms: HashSet<_> = seen.iter().map(|moment| moment.1).collect();
    let uuids: HashSet<_> = seen.iter().map(|moment| &moment.2).collect();
    assert_eq!((randoms.len(), uuids.len()), (5, 5), "branches and calls differ");
    assert!(seen.iter().all(|moment| (0.0..1.0).contains(&moment.3)));
    assert_eq!(seen[0].0, seen[1].0, "time stands still between operations");
    assert_eq!(seen[2].0.duration_since(seen[1].0).unwrap(), Duration::from_hours(1));
}

#[test]
fn runs_with_one_seed_are_alike_and_others_are_not() {
    let random = |builder: durable::Builder| {
        let (log, switches, clock) = (Log::default(), Switches::default(), TestClock::default());
        let engine = builder.with(log).with(switches).with(clock).in_memory().unwrap();
        moments::durable("x").on(&engine).run().unwrap()[0].1
    };
    assert_eq!(random(Engine::builder().seed(5)), random(Engine::builder().seed(5)));
    assert_ne!(random(Engine::builder()), random(Engine::builder()));
}

#[step(retries = 2, backoff = "1ms")]
fn keyed() -> Result<u32, String> {
    Log::note(durable::idempotency_key());
    if Switches::is_set("fail") { Err("failed".into()) } else { Ok(1) }
}

#[workflow]
fn keys_of_steps() -> Result<u32, String> {
    keyed()?;
    keyed()
}

#[test]
fn an_idempotency_key_is_the_same_over_attempts_and_resumes_and_another_after_a_reset() {
    let (engine, log, switches, _) = with_clock();
    switches.set("fail");
    keys_of_steps::durable("x").on(&engine).run().unwrap_err();
    switches.clear();
    keys_of_steps::durable("x").on(&engine).run().unwrap();
    let lines = log.take();
    assert_eq!(lines.len(), 5);
    assert!(lines[..4].iter().all(|key| *key == lines[0]) && lines[4] != lines[0], "{lines:?}");
    assert!(lines[0].ends_with("-keyed_0"), "{lines:?}");
    engine.reset("x").unwrap();
    keys_of_steps::durable("x").on(&engine).run().unwrap();
    assert!(!lines.contains(&log.lines()[0]));
}

#[workflow]
fn sleeping() -> SystemTime {
    durable::sleep(Duration::from_hours(10));
    let woke = durable::now();
    assert!(!Switches::is_set("stop"));
    woke
}

#[test]
fn a_sleep_records_when_to_wake_and_a_resumed_run_waits_for_what_is_left() {
    let (engine, _, switches, clock) = with_clock();
    let start: SystemTime = engine_time(&clock);
    switches.set("stop");
    sleeping::durable("x").on(&engine).run().unwrap_err();
    assert_eq!(clock.waits().iter().sum::<Duration>(), Duration::from_hours(10));
    let steps = engine.steps("x").unwrap();
    assert_eq!((steps.len(), steps[0].kind, steps[0].key().as_str()), (1, Kind::Sleep, "sleep_0"));
    switches.clear();
    let woke = sleeping::durable("x").on(&engine).run().unwrap();
    assert_eq!(clock.waits().iter().sum::<Duration>(), Duration::from_hours(10), "its time had come");
    assert_eq!(woke.duration_since(start).unwrap(), Duration::from_hours(10));
}

#[workflow]
fn sleeping_until() -> SystemTime {
    durable::sleep_until(durable::now() + Duration::from_hours(3));
    durable::now()
}

#[test]
fn a_sleep_until_a_time_wakes_then() {
    let (engine, _, _, clock) = with_clock();
    let start: SystemTime = engine_time(&clock);
    let woke = sleeping_until::durable("x").on(&engine).run().unwrap();
    assert_eq!(woke.duration_since(start).unwrap(), Duration::from_hours(3));
    assert_eq!(clock.waits().iter().sum::<Duration>(), Duration::from_hours(3));
}

fn engine_time(clock: &TestClock) -> SystemTime {
    durable::Clock::now(clock).into()
}

#[workflow]
async fn sleeping_async() -> u32 {
    durable::future::sleep(Duration::from_mins(90)).await;
    durable::future::sleep_until(durable::now() + Duration::from_mins(30)).await;
    assert!(!Switches::is_set("stop"));
    1
}

#[test]
fn async_sleeps_are_recorded_alike() {
    let (engine, _, switches, clock) = with_clock();
    switches.set("stop");
    smol::block_on(sleeping_async::durable("x").on(&engine).run()).unwrap_err();
    switches.clear();
    assert_eq!(smol::block_on(sleeping_async::durable("x").on(&engine).run()).unwrap(), 1);
    assert_eq!(clock.waits().iter().sum::<Duration>(), Duration::from_hours(2));
    assert_eq!(keys(&engine, "x"), ["sleep_0", "sleep_1"]);
}

/// What a service is asked through.
trait Mail: Send + Sync {
    fn send(&self, to: &str) -> String;
}

struct Fake;

impl Mail for Fake {
    fn send(&self, to: &str) -> String {
        format!("fake mail to {to}")
    }
}

#[step]
fn mail(to: &str) -> String {
    durable::resource::<Box<dyn Mail>>().send(to)
}

#[workflow]
fn mailing() -> String {
    mail("ada")
}

#[test]
fn a_test_puts_a_fake_client_in() {
    let client: Box<dyn Mail> = Box::new(Fake);
    let engine = Engine::builder().with(client).in_memory().unwrap();
    assert_eq!(mailing::durable("x").on(&engine).run().unwrap(), "fake mail to ada");
    let _entered = engine.enter();
    assert_eq!(mail("grace"), "fake mail to grace", "also in a plain call");
}

#[workflow]
fn lenient() -> String {
    std::panic::catch_unwind(|| mail("ada")).unwrap_or_else(|_| "caught".into())
}

#[test]
fn a_missing_resource_ends_the_run_with_its_type_and_records_nothing() {
    let (engine, _, _) = engine();
    for error in [mailing::durable("x").on(&engine).run(), lenient::durable("y").on(&engine).run()] {
        let error = error.unwrap_err();
        assert!(matches!(error, RunError::Engine(Error::MissingResource { .. })), "{error}");
        assert!(error.to_string().contains("dyn moments::Mail"), "{error}");
    }
    assert!(keys(&engine, "x").is_empty());
    assert!(durable::try_resource::<Arc<u8>>().is_err());
}
#[step]
fn key(name: &str) {
    Log::note(format!("{name} {}", durable::idempotency_key()));
}

#[step]
async fn key_async(name: &str) {
    smol::future::yield_now().await;
    Log::note(format!("{name} {}", durable::idempotency_key()));
}

#[step(retries = 1, backoff = "1ms")]
fn outer() -> Result<(), String> {
    key("own");
    key("again");
    durable::join(|| key("left"), || key("right"));
    smol::block_on(async {
        key_async("async").await;
        durable::join!(key_async("a"), key_async("b"));
    });
    Log::note(format!("outer {}", durable::idempotency_key()));
    Err("again".into())
}

#[step(retries = 1, backoff = "1ms")]
async fn outer_async() -> Result<(), String> {
    key_async("own").await;
    key_async("again").await;
    Err("again".into())
}

struct KeyWhenDropped;

impl Drop for KeyWhenDropped {
    fn drop(&mut self) {
        key("dropped");
    }
}

#[workflow]
fn keyed_calls() -> u32 {
    outer().unwrap_or_default();
    smol::block_on(outer_async()).unwrap_or_default();
    _ = std::panic::catch_unwind(|| {
        let _drops = (KeyWhenDropped, KeyWhenDropped);
        panic!("unwinds");
    });
    1
}

/// Bug: all steps that a step called had its idempotency key, so a service would have dropped the second one's
/// request as a repeat. Cause: the key was the outer step's. Fix: calls in a step are numbered below its key.
#[test]
fn each_step_that_a_step_calls_has_an_idempotency_key_of_its_own() {
    let (engine, log, _, _) = with_clock();
    keyed_calls::durable("x").on(&engine).run().unwrap();
    let lines = log.lines();
    let (first, rest) = lines.split_at(8);
    let (second, rest) = rest.split_at(8);
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    assert_eq!(sorted(first), sorted(second), "the same in each attempt");
    assert_eq!((&rest[..2], &rest[2..4]), (&rest[2..4], &rest[..2]));
    let keys: HashSet<_> =
        first.iter().chain(&rest[..2]).chain(&rest[4..]).map(|line| line.split_once(' ')).collect();
    assert_eq!(keys.len(), 8 + 2 + 2, "{lines:#?}");
    let key_of = |name: &str| {
        let line = first.iter().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        line.split_once('-').unwrap().1.to_owned()
    };
    assert_eq!(key_of("outer"), "outer_0");
    assert_eq!((key_of("own"), key_of("again")), ("outer_0.key_0".into(), "outer_0.key_1".into()));
    assert_eq!(
        (key_of("left"), key_of("right")),
        ("outer_0.join_0.0.key_0".into(), "outer_0.join_0.1.key_0".into())
    );
    assert_eq!(
        (key_of("async"), key_of("b")),
        ("outer_0.key_async_0".into(), "outer_0.join!_0.1.key_async_0".into())
    );
}

#[step(name = "outer_two_0/charge")]
fn slashed() -> String {
    durable::idempotency_key()
}

#[step]
fn charge() -> String {
    durable::idempotency_key()
}

#[step]
fn outer_two() -> Vec<String> {
    vec![charge(), charge()]
}

#[workflow]
fn odd_names() -> Vec<String> {
    let mut keys = outer_two();
    keys.push(slashed());
    keys
}

#[test]
fn no_name_makes_the_key_of_a_call_within_a_step() {
    let (engine, _, _) = engine();
    let keys = odd_names::durable("x").on(&engine).run().unwrap();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 3, "{keys:?}");
}
