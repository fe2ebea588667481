//! The runs that fit a filter are found, and no other, in an order that no write moves, on either store; damage hides
//! nothing and ends.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::time::Duration;

use durable::{Clock as _, Engine, Error, Filter, RunStatus, Timestamp, step, workflow};
use support::{HeldClock, Log, Switches, builder};

#[step]
fn work(name: &str) -> Result<u32, String> {
    if Switches::is_set(name) { Err(format!("{name} failed")) } else { Ok(1) }
}

#[workflow]
fn one(name: String) -> Result<u32, String> {
    work(&name)
}

#[workflow]
fn parent(name: String) -> Result<u32, String> {
    one::run_durable(format!("{name}/child"), name.clone()).map_err(|error| error.to_string())
}

/// Engines on both stores, with runs in several states that began an hour after each other.
fn each_store(check: impl Fn(&Engine, &HeldClock)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let (switches, clock) = (Switches::default(), HeldClock::default());
        let builder = builder(&Log::default(), &switches).clock(clock.clone());
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() };
        let engine = engine.unwrap();
        switches.set("order-2");
        for id in ["order-1", "order-2", "order-10"] {
            _ = one::durable(id, id.into()).on(&engine).run();
            clock.advance(Duration::from_hours(1));
        }
        parent::durable("family", "family".into()).on(&engine).run().unwrap();
        clock.advance(Duration::from_hours(1));
        one::durable("later", "later".into()).on(&engine).start_after(Duration::from_hours(1)).unwrap();
        one::durable("paused", "later".into()).on(&engine).start_after(Duration::from_hours(1)).unwrap();
        engine.pause("paused").unwrap();
        check(&engine, &clock);
    }
}

#[track_caller]
fn check(engine: &Engine, filter: &Filter, ids: &[&str]) {
    let found: Vec<_> = engine.list(filter).map(|run| run.unwrap().id.to_string()).collect();
    assert_eq!(found, ids, "{filter:?}");
}

#[test]
fn runs_are_found_by_what_stands_in_their_rows() {
    each_store(|engine, clock| {
        let all = Filter::all;
        let every = ["family", "family/child", "later", "order-1", "order-10", "order-2", "paused"];
        check(engine, &all(), &every);
        check(engine, &all().status(RunStatus::Failed), &["order-2"]);
        check(engine, &all().status(RunStatus::Failed).status(RunStatus::Paused), &["order-2", "paused"]);
        check(engine, &all().name("parent"), &["family"]);
        check(engine, &all().name("parents"), &[]);
        check(engine, &all().id_prefix("order-1"), &["order-1", "order-10"]);
        check(engine, &all().id_prefix("ORDER"), &[]);
        check(engine, &all().id_prefix("order-_%"), &[]);
        let family = engine.run("family").unwrap().unwrap();
        check(engine, &all().parent(&family.id), &["family/child"]);
        check(engine, &all().waiting(), &["later"]);
        let now = clock.now();
        let at = |hours: i64| Timestamp::from_millis(now.as_millis() - hours * 3_600_000);
        check(engine, &all().created_from(at(0)), &["later", "paused"]);
        check(engine, &all().created_before(at(2)), &["order-1", "order-2"]);
        check(engine, &all().created_from(at(3)).created_before(at(1)), &["order-10", "order-2"]);
        check(engine, &all().updated_from(at(1)).status(RunStatus::Completed), &["family", "family/child"]);
        check(engine, &all().updated_before(at(3)), &["order-1"]);
        check(
            engine,
            &all().name("one").id_prefix("order").status(RunStatus::Completed),
            &["order-1", "order-10"],
        );
    });
}

#[test]
fn a_list_goes_on_after_any_id_whatever_became_of_it() {
    each_store(|engine, _| {
        let page: Vec<_> = engine.runs().take(3).map(|run| run.unwrap().id).collect();
        assert_eq!(page.last().unwrap().as_str(), "later");
        engine.cancel("later").unwrap();
        assert!(engine.reset("later").unwrap());
        one::durable("a new one before", "x".into()).on(engine).run().unwrap();
        let rest: Vec<_> = engine.runs().after(&page[2]).map(|run| run.unwrap().id.to_string()).collect();
        assert_eq!(rest, ["order-1", "order-10", "order-2", "paused"]);
        let mut runs = engine.list(&Filter::all().id_prefix("order"));
        runs.next().unwrap().unwrap();
        assert_eq!(
            runs.after("order-1").map(|run| run.unwrap().id.to_string()).collect::<Vec<_>>(),
            ["order-10", "order-2"]
        );
        assert_eq!(engine.list(&Filter::all().id_prefix("order")).after("a").count(), 3);
        assert_eq!(engine.list(&Filter::all().id_prefix("order")).after("p").count(), 0);
    });
}

#[test]
fn more_runs_than_a_page_has_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let builder = builder(&Log::default(), &Switches::default()).clock(HeldClock::default());
        let builder = builder.durability(durable::Durability::Off);
        let engine = if let Some(path) = path { builder.open(path) } else { builder.in_memory() }.unwrap();
        for n in 0..600 {
            one::durable(format!("run {n:03}"), String::new())
                .on(&engine)
                .start_after(Duration::from_hours(1))
                .unwrap();
        }
        for filter in [Filter::all(), Filter::all().waiting(), Filter::all().id_prefix("run")] {
            let ids: Vec<_> = engine.list(&filter).map(|run| run.unwrap().id.to_string()).collect();
            assert_eq!(ids, (0..600).map(|n| format!("run {n:03}")).collect::<Vec<_>>());
        }
        assert_eq!(engine.list(&Filter::all().waiting()).take(3).count(), 3);
    }
}

/// Bug: a list of runs had no end. Cause: it went on from after the id as text, and a rotten id, which is none, comes
/// after that. Fix: it goes on from after the id's bytes.
#[test]
fn a_rotten_id_is_told_once_and_ends_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let builder = builder(&Log::default(), &Switches::default()).clock(HeldClock::default());
    let engine = builder.durability(durable::Durability::Off).open(&path).unwrap();
    let later = Duration::from_hours(1);
    for n in 0..256 {
        one::durable(format!("user {n:03}"), String::new()).on(&engine).start_after(later).unwrap();
    }
    let rows = rusqlite::Connection::open(&path).unwrap();
    // One bit of a `u`, so that it is the last of a full page.
    rows.execute("update workflows set id = cast(x'f5' || 'ser 000' as text) where id = 'user 000'", [])
        .unwrap();
    let told: Vec<_> = engine.runs().take(300).collect();
    assert_eq!(told.len(), 256);
    let (rotten, whole) = told.split_last().unwrap();
    assert!(whole.iter().all(Result::is_ok));
    let rotten = rotten.as_ref().unwrap_err().to_string();
    assert!(rotten.contains("of table workflows cannot be read"), "{rotten}");
}

#[test]
fn a_damaged_row_is_told_where_what_is_left_of_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let engine = builder(&Log::default(), &Switches::default()).open(&path).unwrap();
    for id in ["a", "b"] {
        one::durable(id, "x".into()).on(&engine).run().unwrap();
    }
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute("update workflows set output = '7' where id = 'a'", []).unwrap();
    let told = |filter: &Filter| {
        engine.list(filter).map(|run| run.map(|run| run.id.to_string())).collect::<Vec<_>>()
    };
    let completed = told(&Filter::all().status(RunStatus::Completed));
    assert!(matches!(&completed[..], [Err(Error::Read(_)), Ok(b)] if b == "b"), "{completed:?}");
    assert!(told(&Filter::all().status(RunStatus::Failed)).is_empty());
}
