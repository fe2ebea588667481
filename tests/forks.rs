//! A fork goes on from a step of another run by itself, with what that run had recorded before, and leaves it as
//! it is.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable::{Engine, Error, ForkRefused, RunError, RunStatus, TestClock, step, workflow};
use support::{Log, Switches, builder, keys};

/// A shop: what it charges for an order is the length of its name.
#[step]
fn charge(order: &str) -> Result<u32, String> {
    Log::note(format!("charge {order}"));
    if Switches::is_set("decline") { Err("declined".into()) } else { Ok(u32::try_from(order.len()).unwrap()) }
}

#[step]
fn ship(cents: u32) -> Result<String, String> {
    Log::note(format!("ship {cents} {}", durable::idempotency_key()));
    if Switches::is_set("no carrier") { Err("no carrier".into()) } else { Ok(format!("paid {cents}")) }
}

#[step]
fn thank(how: &str) {
    Log::note(format!("thank for {how}"));
}

#[workflow]
fn fulfil(order: String) -> Result<String, String> {
    let cents = charge(&order).unwrap_or(0);
    let shipped = ship(cents)?;
    thank(&shipped);
    Ok(shipped)
}

/// Engines on both stores.
fn each_store(check: impl Fn(&Engine, &Log, &Switches)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let (log, switches) = (Log::default(), Switches::default());
        let builder = builder(&log, &switches).clock(TestClock::default());
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() };
        check(&engine.unwrap(), &log, &switches);
    }
}

/// All that is stored of a run.
fn stored(engine: &Engine, id: &str) -> String {
    format!("{:?} {:?}", engine.run(id).unwrap(), engine.steps(id).unwrap())
}

#[test]
fn a_fork_goes_on_by_itself_and_its_original_stays_as_it_is() {
    each_store(|engine, log, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        let before = stored(engine, "a");
        assert_eq!(engine.fork("a", "ship_1", "b").unwrap(), 1);
        let fork = engine.run("b").unwrap().unwrap();
        assert_eq!((fork.status, fork.owner, fork.parent), (RunStatus::Running, None, None));
        assert_eq!(keys(engine, "b"), ["charge_0"]);
        assert_eq!(log.take().len(), 3, "nothing runs by the fork itself");
        assert_eq!(fulfil::durable("b", "lamp".into()).on(engine).run().unwrap(), "paid 4");
        assert_eq!((log.take().len(), stored(engine, "a")), (2, before));
        assert_eq!(keys(engine, "b"), keys(engine, "a"));
        assert_eq!(engine.fork("a", "charge_0", "c").unwrap(), 0);
        assert_eq!(fulfil::durable("c", "lamp".into()).on(engine).run().unwrap(), "paid 4");
        assert_eq!(log.lines().len(), 3);
    });
}

#[test]
fn the_effects_of_a_fork_have_keys_of_their_own() {
    each_store(|engine, log, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        engine.fork("a", "ship_1", "b").unwrap();
        fulfil::durable("b", "lamp".into()).on(engine).run().unwrap();
        let lines = log.lines();
        let key = |line: &str| line.rsplit_once(' ').unwrap().1.to_owned();
        assert!(lines[1].starts_with("ship 4") && lines[3].starts_with("ship 4"), "{lines:?}");
        assert_ne!(key(&lines[1]), key(&lines[3]));
    });
}

#[test]
fn a_run_in_any_state_can_be_forked() {
    each_store(|engine, _, switches| {
        let status = |id: &str| engine.run(id).unwrap().unwrap().status;
        switches.set("no carrier");
        fulfil::durable("failed", "lamp".into()).on(engine).run().unwrap_err();
        switches.clear();
        fulfil::durable("cancelled", "lamp".into()).on(engine).run().unwrap();
        engine.rewind("cancelled", "thank_2").unwrap();
        engine.cancel("cancelled").unwrap();
        fulfil::durable("paused", "lamp".into()).on(engine).run().unwrap();
        engine.rewind("paused", "thank_2").unwrap();
        engine.pause("paused").unwrap();
        for (id, of) in [
            ("failed", RunStatus::Failed),
            ("cancelled", RunStatus::Cancelled),
            ("paused", RunStatus::Paused),
        ] {
            let fork = format!("fork of {id}");
            assert_eq!(status(id), of);
            engine.fork(id, "ship_1", &fork).unwrap();
            assert_eq!(fulfil::durable(&fork, "lamp".into()).on(engine).run().unwrap(), "paid 4");
            assert_eq!((status(id), status(&fork)), (of, RunStatus::Completed));
        }
    });
}

/// Forks the run that it belongs to.
#[step]
fn forks(id: &str) -> u64 {
    durable::resource::<Arc<Mutex<Option<Engine>>>>()
        .lock()
        .unwrap()
        .as_ref()
        .unwrap()
        .fork("a", "ship_1", id)
        .unwrap()
}

#[workflow]
fn forked_while_it_runs() -> String {
    let cents = charge("lamp").unwrap();
    let shipped = ship(cents).unwrap();
    if Switches::is_set("fork") {
        forks("b");
    }
    shipped
}

#[test]
fn a_live_run_can_be_forked() {
    let (log, switches) = (Log::default(), Switches::default());
    let folder = tempfile::tempdir().unwrap();
    let own = Arc::new(Mutex::new(None::<Engine>));
    let engine = builder(&log, &switches).with(Arc::clone(&own)).open(folder.path().join("runs.db")).unwrap();
    *own.lock().unwrap() = Some(engine.clone());
    switches.set("fork");
    assert_eq!(forked_while_it_runs::durable("a").on(&engine).run().unwrap(), "paid 4");
    own.lock().unwrap().take();
    switches.clear();
    assert_eq!((keys(&engine, "b"), engine.steps("a").unwrap().len()), (vec!["charge_0".to_owned()], 3));
    assert_eq!(forked_while_it_runs::durable("b").on(&engine).run().unwrap(), "paid 4");
}

#[workflow]
fn lucky() -> String {
    let (dice, id, at) = (durable::random::<u64>(), durable::uuid(), durable::now());
    let first = told(&format!("{dice} {id} {at:?}"));
    durable::sleep(Duration::from_hours(1));
    let second = told(&format!("{} {} {:?}", durable::random::<u64>(), durable::uuid(), durable::now()));
    format!("{first} {second} {}", told("last"))
}

#[step]
fn told(what: &str) -> String {
    Log::note(what);
    what.to_owned()
}

#[test]
fn what_was_drawn_and_when_it_was_is_the_same_in_a_fork() {
    each_store(|engine, log, _| {
        let first = lucky::durable("a").on(engine).run().unwrap();
        assert_eq!(engine.fork("a", "told_3", "b").unwrap(), 3);
        // Other arguments by the same build would be a divergence.
        assert_eq!(lucky::durable("b").on(engine).run().unwrap(), first);
        assert_eq!(log.lines().len(), 4);
        assert_eq!(engine.fork("a", "told_0", "c").unwrap(), 0);
        let third = lucky::durable("c").on(engine).run().unwrap();
        let drawn = |text: &str| text.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(drawn(&third), drawn(&first), "the seed and the time of start are the original's");
    });
}

#[test]
fn a_fork_can_have_another_output_of_a_copied_step() {
    each_store(|engine, log, switches| {
        switches.set("decline");
        assert_eq!(fulfil::durable("a", "lamp".into()).on(engine).run().unwrap(), "paid 0");
        assert_eq!(engine.fork_with("a", "ship_1", "b", "charge_0", "900").unwrap(), 1);
        assert_eq!(fulfil::durable("b", "lamp".into()).on(engine).run().unwrap(), "paid 900");
        assert!(log.lines()[3].starts_with("ship 900"), "{:?}", log.lines());
        let (of, fork) = (&engine.steps("a").unwrap()[0], &engine.steps("b").unwrap()[0]);
        assert_eq!((of.output.as_str(), of.edited), ("\"declined\"", false));
        assert_eq!((fork.output.as_str(), fork.edited, fork.timestamp), ("900", true, of.timestamp));
        assert_eq!(fulfil::durable("a", "lamp".into()).on(engine).run().unwrap(), "paid 0");
    });
}

#[test]
fn a_fork_can_begin_behind_the_step_that_has_another_output() {
    each_store(|engine, log, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        log.take();
        assert_eq!(engine.fork_with("a", "charge_0", "b", "charge_0", "900").unwrap(), 1);
        assert_eq!(keys(engine, "b"), ["charge_0"]);
        assert_eq!(fulfil::durable("b", "lamp".into()).on(engine).run().unwrap(), "paid 900");
        assert!(log.lines()[0].starts_with("ship 900"), "{:?}", log.lines());
    });
}

#[test]
fn an_output_of_another_type_halts_the_fork_alone() {
    each_store(|engine, _, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        engine.fork_with("a", "ship_1", "b", "charge_0", "\"much\"").unwrap();
        let halted = fulfil::durable("b", "lamp".into()).on(engine).run().unwrap_err();
        assert!(matches!(halted, RunError::Engine(Error::Undecodable { .. })), "{halted}");
        assert_eq!(engine.run("b").unwrap().unwrap().status, RunStatus::Halted);
        assert_eq!(fulfil::durable("a", "lamp".into()).on(engine).run().unwrap(), "paid 4");
    });
}

#[test]
fn a_fork_that_makes_no_sense_is_refused_and_stores_nothing() {
    each_store(|engine, _, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        fulfil::durable("other", "desk".into()).on(engine).run().unwrap();
        assert!(matches!(engine.fork("none", "ship_1", "b"), Err(Error::UnknownRun { .. })));
        assert!(matches!(engine.fork("a", "ship_9", "b"), Err(Error::UnknownStep { .. })));
        assert!(matches!(engine.fork("a", "ship_1", ""), Err(Error::InvalidId(_))));
        let with = |step: &str, output: &str| engine.fork_with("a", "ship_1", "b", step, output);
        assert!(matches!(with("charge_9", "1"), Err(Error::UnknownStep { step, .. }) if step == "charge_9"));
        let refused = |forked: Result<u64, Error>| match forked {
            Err(Error::ForkRefused(refused)) => *refused,
            other => unreachable!("{other:?}"),
        };
        for taken in ["a", "other"] {
            let refused = refused(engine.fork("a", "ship_1", taken));
            assert!(matches!(refused, ForkRefused::Taken { taken: id, .. } if id.as_str() == taken));
        }
        assert!(matches!(refused(with("thank_2", "1")), ForkRefused::NotCopied { .. }));
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for output in ["", "{", "1 2", "NaN", "'a'", &deep] {
            assert!(matches!(refused(with("charge_0", output)), ForkRefused::Output { .. }), "{output}");
        }
        assert!(engine.run("b").unwrap().is_none());
    });
}

#[test]
fn an_output_longer_than_a_payload_may_be_is_refused() {
    let (log, switches) = (Log::default(), Switches::default());
    let engine = builder(&log, &switches).payload_bytes_max(100).in_memory().unwrap();
    fulfil::durable("a", "lamp".into()).on(&engine).run().unwrap();
    let text = format!("\"{}\"", "x".repeat(100));
    let Err(Error::ForkRefused(refused)) = engine.fork_with("a", "ship_1", "b", "charge_0", &text) else {
        unreachable!("it is too long")
    };
    assert!(refused.to_string().ends_with("it has 102 bytes, and 100 are the most"), "{refused}");
}

#[test]
fn the_same_fork_again_changes_nothing_until_the_fork_has_run() {
    each_store(|engine, _, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        assert_eq!(engine.fork("a", "ship_1", "b").unwrap(), 1);
        let once = stored(engine, "b");
        assert_eq!(engine.fork("a", "ship_1", "b").unwrap(), 1);
        assert_eq!(stored(engine, "b"), once);
        assert!(
            engine.fork("a", "thank_2", "b").is_err()
                && engine.fork_with("a", "ship_1", "b", "charge_0", "1").is_err()
        );
        fulfil::durable("b", "lamp".into()).on(engine).run().unwrap();
        assert!(matches!(engine.fork("a", "ship_1", "b"), Err(Error::ForkRefused(_))));
        assert!(engine.reset("b").unwrap());
        assert_eq!(engine.fork("a", "ship_1", "b").unwrap(), 1);
    });
}

#[workflow]
fn branches() -> u32 {
    let (a, b) = durable::join(|| charge("a").unwrap() + pair(), || charge("bb").unwrap());
    a + b + charge("ccc").unwrap()
}

#[workflow]
fn pair() -> u32 {
    charge("dddd").unwrap() + charge("eeeee").unwrap()
}

#[test]
fn a_fork_from_within_a_branch_leaves_out_what_comes_after_and_the_child_around() {
    each_store(|engine, log, _| {
        assert_eq!(branches::durable("a").on(engine).run().unwrap(), 15);
        log.take();
        engine.fork("a", "charge_0.0.1.0.1", "b").unwrap();
        assert_eq!(keys(engine, "b"), ["charge_0.0.0", "charge_0.0.1.0.0"]);
        assert_eq!(branches::durable("b").on(engine).run().unwrap(), 15);
        let mut again = log.lines();
        again.sort();
        assert_eq!(again, ["charge bb", "charge ccc", "charge eeeee"]);
        assert_eq!(engine.fork_with("a", "charge_1", "c", "pair_0.0.1", "100").unwrap(), 5);
        assert_eq!(branches::durable("c").on(engine).run().unwrap(), 106, "the child as a whole");
    });
}

#[test]
fn a_fork_is_taken_up_by_whoever_recovers() {
    each_store(|engine, _, _| {
        fulfil::durable("a", "lamp".into()).on(engine).run().unwrap();
        engine.fork("a", "ship_1", "b").unwrap();
        engine.recover().unwrap();
        assert_eq!(engine.handle::<fulfil>("b").unwrap().unwrap().wait().unwrap(), "paid 4");
        engine.fork("a", "ship_1", "c").unwrap();
        engine.resume("c").unwrap();
        assert_eq!(engine.handle::<fulfil>("c").unwrap().unwrap().wait().unwrap(), "paid 4");
    });
}

#[test]
fn damage_counts_only_where_it_would_be_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let engine = builder(&Log::default(), &Switches::default()).open(&path).unwrap();
    fulfil::durable("a", "lamp".into()).on(&engine).run().unwrap();
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute("update steps set output = '\"forged\"' where step_key = 'ship_1'", []).unwrap();
    assert_eq!(engine.fork("a", "ship_1", "b").unwrap(), 1);
    let damaged = engine.fork("a", "thank_2", "c").unwrap_err();
    assert!(damaged.to_string().contains("the row \"a, ship_1\" of table steps cannot be read"), "{damaged}");
    assert!(engine.run("c").unwrap().is_none(), "nothing of it is stored");
    rows.execute("update steps set checksum = null where step_key = 'ship_1'", []).unwrap();
    assert_eq!(engine.fork("a", "thank_2", "c").unwrap(), 2);
    assert!(engine.steps("c").unwrap()[1].edited, "a mark of an edit is copied");
    assert_eq!(fulfil::durable("c", "lamp".into()).on(&engine).run().unwrap(), "forged");
}

#[test]
fn a_damaged_child_around_the_step_is_not_copied_and_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let engine = builder(&Log::default(), &Switches::default()).open(&path).unwrap();
    branches::durable("a").on(&engine).run().unwrap();
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute("update steps set output = '1' where step_key = 'pair_0.0.1'", []).unwrap();
    assert_eq!(engine.fork("a", "charge_0.0.1.0.1", "b").unwrap(), 2);
    assert_eq!(branches::durable("b").on(&engine).run().unwrap(), 15);
}
