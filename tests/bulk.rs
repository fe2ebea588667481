//! What is asked of many runs at once is asked of each as if it were alone: those that refuse are told and stop no
//! other. Two processes on one file see each other's runs and steer them.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/actors.rs"]
mod actors;
#[path = "support/store.rs"]
mod asks;
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::{Actor, Place, hear, role, say};
use asks::Asks;
use durable::store::memory::MemoryStore;
use durable::{Bulk, Engine, Error, Filter, RunStatus, step, workflow};
use support::{HeldClock, Log, Switches, builder};

#[step]
fn work(name: &str) -> Result<u32, String> {
    Log::note(name);
    if Switches::is_set("fail") { Err(format!("{name} failed")) } else { Ok(1) }
}

#[workflow]
fn one(name: String) -> Result<u32, String> {
    work(&name)
}

const LATER: Duration = Duration::from_hours(1);

/// Runs that wait, completed and failed, on either store.
fn each_store(check: impl Fn(&Engine, &Log, &Switches)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let (log, switches) = (Log::default(), Switches::default());
        let builder = builder(&log, &switches).clock(HeldClock::default());
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() }.unwrap();
        for id in ["done 1", "done 2"] {
            one::durable(id, id.into()).on(&engine).run().unwrap();
        }
        switches.set("fail");
        for id in ["failed 1", "failed 2"] {
            one::durable(id, id.into()).on(&engine).run().unwrap_err();
        }
        switches.clear();
        for n in 0..3 {
            one::durable(format!("waits {n}"), "w".into()).on(&engine).start_after(LATER).unwrap();
        }
        check(&engine, &log, &switches);
    }
}

fn ids(engine: &Engine, filter: &Filter) -> Vec<String> {
    engine.list(filter).map(|run| run.unwrap().id.to_string()).collect()
}

/// How many did, and the ids and states of those that refused.
fn told(bulk: &Bulk) -> (u64, Vec<(&str, RunStatus)>) {
    assert_eq!(bulk.refused, bulk.refusals.len() as u64);
    let refusal = |(id, error): &(String, Error)| match error {
        Error::Refused { workflow, status, .. } if workflow.as_str() == *id => *status,
        other => unreachable!("{other}"),
    };
    (bulk.done, bulk.refusals.iter().map(|refused| (refused.0.as_str(), refusal(refused))).collect())
}

#[test]
fn all_that_fit_are_cancelled_and_those_that_have_ended_refuse() {
    each_store(|engine, _, _| {
        let running = Filter::all().status(RunStatus::Running);
        assert_eq!(told(&engine.cancel_all(&running.clone().id_prefix("waits 1")).unwrap()), (1, vec![]));
        assert_eq!(ids(engine, &running), ["waits 0", "waits 2"]);
        let refused = [
            ("done 1", RunStatus::Completed),
            ("done 2", RunStatus::Completed),
            ("failed 1", RunStatus::Failed),
            ("failed 2", RunStatus::Failed),
        ];
        for _ in 0..2 {
            assert_eq!(
                told(&engine.cancel_all(&Filter::all()).unwrap()),
                (3, refused.to_vec()),
                "again the same"
            );
        }
        assert_eq!(ids(engine, &Filter::all().status(RunStatus::Cancelled)).len(), 3);
        assert_eq!(told(&engine.cancel_all(&running).unwrap()), (0, vec![]));
    });
}

#[test]
fn all_that_fit_are_deleted() {
    each_store(|engine, _, _| {
        let done = Filter::all().status(RunStatus::Completed);
        assert_eq!(told(&engine.delete_all(&done).unwrap()), (2, vec![]));
        assert_eq!(told(&engine.delete_all(&done).unwrap()), (0, vec![]));
        assert!(engine.steps("done 1").unwrap().is_empty());
        assert_eq!(engine.runs().count(), 5);
        assert_eq!(told(&engine.delete_all(&Filter::all()).unwrap()), (5, vec![]));
        assert_eq!(engine.runs().count(), 0);
    });
}

#[test]
fn all_that_failed_are_retried_and_all_that_were_cancelled_resumed() {
    each_store(|engine, log, _| {
        log.take();
        let failed = Filter::all().status(RunStatus::Failed);
        assert_eq!(told(&engine.retry_all(&failed).unwrap()), (2, vec![]));
        for id in ["failed 1", "failed 2"] {
            assert_eq!(engine.handle::<one>(id).unwrap().unwrap().wait().unwrap(), 1);
        }
        assert_eq!(log.take().len(), 2);
        let done = ["done 1", "done 2", "failed 1", "failed 2"].map(|id| (id, RunStatus::Completed));
        assert_eq!(
            told(&engine.retry_all(&Filter::all()).unwrap()),
            (3, done.to_vec()),
            "those that wait are let be"
        );
        assert_eq!(told(&engine.cancel_all(&Filter::all().waiting()).unwrap()), (3, vec![]));
        let cancelled = Filter::all().id_prefix("waits");
        assert_eq!(engine.retry_all(&cancelled).unwrap().refused, 3);
        assert_eq!(told(&engine.resume_all(&Filter::all()).unwrap()), (3, done.to_vec()));
        for n in 0..3 {
            assert_eq!(engine.handle::<one>(format!("waits {n}")).unwrap().unwrap().wait().unwrap(), 1);
        }
    });
}

#[test]
fn many_runs_are_gone_through_page_by_page() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let count = move |call| {
        counted.fetch_add(usize::from(call == "runs"), Ordering::SeqCst);
        Ok(())
    };
    let (log, switches) = (Log::default(), Switches::default());
    let builder = builder(&log, &switches).clock(HeldClock::default());
    let engine = builder.store(Asks(MemoryStore::default(), Arc::new(count))).unwrap();
    for n in 0..600 {
        one::durable(format!("{n}"), "w".into()).on(&engine).start_after(LATER).unwrap();
    }
    reads.store(0, Ordering::SeqCst);
    assert_eq!(engine.cancel_all(&Filter::all()).unwrap().done, 600);
    assert_eq!(reads.load(Ordering::SeqCst), 3, "pages of 256");
    assert_eq!(engine.delete_all(&Filter::all().status(RunStatus::Cancelled)).unwrap().done, 600);
}

#[test]
fn a_damaged_run_is_told_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let engine =
        builder(&Log::default(), &Switches::default()).clock(HeldClock::default()).open(&path).unwrap();
    for id in ["a", "b", "c"] {
        one::durable(id, "w".into()).on(&engine).start_after(LATER).unwrap();
    }
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute("update workflows set input = '[]' where id = 'b'", []).unwrap();
    let bulk = engine.cancel_all(&Filter::all()).unwrap();
    assert_eq!((bulk.done, bulk.refused, bulk.refusals[0].0.as_str()), (2, 1, "b"));
    assert!(bulk.refusals[0].1.to_string().contains("of table workflows cannot be read"));
    assert_eq!(engine.delete_all(&Filter::all()).unwrap().done, 2);
    assert!(engine.delete("b").unwrap(), "by its name");
}

/// Where a step meets its test: it says that it runs, and waits to be told to go on.
struct Gate(Mutex<Sender<()>>, Mutex<Receiver<()>>);

#[step]
fn gated() {
    let gate = durable::resource::<Arc<Gate>>();
    gate.0.lock().unwrap().send(()).unwrap();
    gate.1.lock().unwrap().recv().unwrap();
}

#[workflow]
fn gated_run() {
    gated();
}

#[test]
fn what_lives_refuses_to_be_deleted_and_is_cancelled() {
    let ((say, reached), (open, opened)) = (channel(), channel());
    let gate = Arc::new(Gate(Mutex::new(say), Mutex::new(opened)));
    let engine = builder(&Log::default(), &Switches::default()).with(gate).in_memory().unwrap();
    let handle = gated_run::durable("lives").on(&engine).start().unwrap();
    reached.recv().unwrap();
    let bulk = engine.delete_all(&Filter::all()).unwrap();
    assert!(matches!(&bulk.refusals[..], [(id, Error::Live { .. })] if id == "lives"));
    assert_eq!(engine.cancel_all(&Filter::all()).unwrap().done, 1);
    open.send(()).unwrap();
    handle.wait().unwrap_err();
    assert_eq!(handle.status().unwrap(), RunStatus::Cancelled);
}

#[step]
fn noted(name: &str) {
    durable::resource::<Place>().note(name);
}

#[step]
fn told_to_go_on() {
    say("it runs");
    hear();
}

#[workflow]
fn elsewhere() {
    noted("first");
    durable::shield(|| {
        told_to_go_on();
        noted("undo");
    });
    noted("last");
}

fn open(place: &Place) -> Engine {
    Engine::builder().with(place.clone()).open(place.database()).unwrap()
}

/// Another process executes a run; this one looks at it, forks it, cancels it and deletes it.
#[test]
fn a_run_of_another_process_is_looked_at_and_steered() {
    if let Some((_, place)) = role() {
        let ended = elsewhere::durable("a").on(&open(&place)).run().unwrap_err();
        return say(&format!("ended: {ended}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let name = "a_run_of_another_process_is_looked_at_and_steered";
    let mut other = Actor::start(name, "executes", folder.path());
    other.wait_for("it runs");
    let engine = open(&place);
    let history = engine.history("a").unwrap();
    assert!(history.run().unwrap().owner.is_some());
    assert_eq!(history.map(|step| step.unwrap().key().to_string()).collect::<Vec<_>>(), ["noted_0"]);
    assert_eq!(ids(&engine, &Filter::all().status(RunStatus::Running)), ["a"]);
    assert!(matches!(engine.delete("a"), Err(Error::Live { .. })));
    assert_eq!(engine.delete_all(&Filter::all()).unwrap().refused, 1);
    assert_eq!(
        engine
            .delete_with_children("a")
            .map_err(|error| error.to_string())
            .unwrap_err()
            .matches("running")
            .count(),
        1
    );
    assert_eq!(engine.fork("a", "noted_0", "b").unwrap(), 0);
    assert_eq!(engine.cancel_all(&Filter::all().name("elsewhere")).unwrap().done, 2);
    other.tell();
    other.wait_for("ended: workflow \"a\" was cancelled; `resume` opens it again");
    // What a step does that is under way when its run hears of it is not recorded.
    assert_eq!(place.effects()[..2], ["first", "undo"], "the shield was not cut in two");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Cancelled);
    assert_eq!(support::keys(&engine, "a"), ["noted_0", "told_to_go_on_1", "noted_2"]);
    assert_eq!(engine.delete_all(&Filter::all()).unwrap().done, 2);
}
