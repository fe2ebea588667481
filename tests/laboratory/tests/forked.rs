//! Processes that are forked while they have a database open. A fork copies the open files, and with them the lock that says
//! that its owner lives; it does not copy SQLite's own locks. Whatever the child does, a run has one owner, and nothing that was
//! acknowledged is lost. The test is also the program of its processes, which it starts with a role; a child hears for
//! its parent, so it ends with the test at the latest.
#![cfg(target_os = "linux")]

#[path = "../../support/actors.rs"]
mod actors;

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use actors::{Actor, Place, hear, role, say};
use durable::{Engine, Error, Handle, RunStatus, step, workflow};
use durable_laboratory::fork;
use tempfile::TempDir;

/// What the child does that the second step forks off.
struct Forks(Mutex<Option<Box<dyn FnOnce() + Send>>>);

/// Makes the second step wait to be told once it has forked; without it, it waits for ever, and its child hears all.
struct Hears;

#[step]
fn first(id: &str) {
    durable::resource::<Place>().note(&format!("first of {id}"));
}

#[step]
fn second(id: &str) -> u32 {
    durable::resource::<Place>().note(&format!("second of {id}"));
    let child = durable::try_resource::<Forks>().ok().and_then(|forks| forks.0.lock().unwrap().take());
    if let Some(child) = child {
        fork(child);
        say("forked");
        while durable::try_resource::<Hears>().is_err() {
            thread::park();
        }
        hear();
    }
    7
}

#[workflow]
fn two_steps(id: String) -> u32 {
    first(&id);
    second(&id)
}

fn open(place: &Place) -> Result<Engine, Error> {
    Engine::builder().with(place.clone()).open(place.database())
}

/// Runs "a", and forks inside its second step; the child does `child`.
fn split(place: &Place, child: impl FnOnce() + Send + 'static) {
    let forks = Forks(Mutex::new(Some(Box::new(child))));
    let engine = Engine::builder().with(place.clone()).with(forks).open(place.database()).unwrap();
    two_steps::durable("a", "a".to_owned()).on(&engine).run().unwrap();
}

/// Until the test tells nothing more.
fn hear_to_the_end() {
    while std::io::stdin().lines().next().is_some() {}
}

/// A forked process, and another one that looks after its runs.
struct Split {
    place: Place,
    _folder: TempDir,
    parent: Actor,
    rival: Engine,
    handle: Handle<two_steps>,
}

impl Split {
    fn start(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place(folder.path().to_owned());
        let mut parent = Actor::start(test, "parent", folder.path());
        parent.wait_for("forked");
        let rival = open(&place).unwrap();
        rival.recover().unwrap();
        let handle = rival.handle::<two_steps>("a").unwrap().unwrap();
        Self { place, _folder: folder, parent, rival, handle }
    }

    /// Nobody has taken the run, though the other process has asked for it, and looked: a run of its own has come to its end.
    #[track_caller]
    fn check_kept(&self, own: &str) {
        let start = |id: &str| two_steps::durable(id, id.to_owned()).on(&self.rival).start().unwrap();
        drop(start("a"));
        start(own).wait().unwrap();
        assert!(matches!(self.rival.reset("a"), Err(Error::Live { .. })));
        assert_eq!(self.rival.run("a").unwrap().unwrap().status, RunStatus::Running);
        assert_eq!(self.effects(), ["first of a", "second of a"]);
    }

    /// The other process comes to the end of the run, and executes what was not acknowledged once.
    #[track_caller]
    fn check_taken_over(self) {
        assert_eq!(self.handle.wait().unwrap(), 7);
        assert_eq!(self.effects(), ["first of a", "second of a", "second of a"]);
        assert_eq!(self.rival.run("a").unwrap().unwrap().recoveries, 1);
    }

    fn effects(&self) -> Vec<String> {
        let effects = self.place.effects().into_iter();
        effects.filter(|effect| effect.ends_with("of a")).collect()
    }
}

#[test]
fn a_run_whose_process_was_forked_ends_there_once_when_the_child_is_gone() {
    if let Some((_, place)) = role() {
        let forks = Forks(Mutex::new(Some(Box::new(|| ()))));
        let engine = Engine::builder().with(place.clone()).with(forks).with(Hears);
        let engine = engine.open(place.database()).unwrap();
        let value = two_steps::durable("a", "a".to_owned()).on(&engine).run().unwrap();
        return say(&format!("the parent ended: {value}"));
    }
    let mut split = Split::start("a_run_whose_process_was_forked_ends_there_once_when_the_child_is_gone");
    split.check_kept("b");
    split.parent.tell();
    assert_eq!(split.parent.last_words(), "the parent ended: 7");
    assert_eq!(split.handle.wait().unwrap(), 7);
    assert_eq!(split.effects(), ["first of a", "second of a"]);
}

#[test]
fn a_child_that_runs_another_program_does_not_keep_the_runs_of_a_killed_process() {
    if let Some((_, place)) = role() {
        return split(&place, || panic!("{}", Command::new("cat").exec()));
    }
    let mut split =
        Split::start("a_child_that_runs_another_program_does_not_keep_the_runs_of_a_killed_process");
    split.check_kept("b");
    split.parent.kill();
    split.parent.tell_line("it lives");
    split.parent.wait_for("it lives");
    split.check_taken_over();
}

#[test]
fn a_child_that_does_nothing_keeps_the_runs_of_a_killed_process_until_it_ends() {
    if let Some((_, place)) = role() {
        return split(&place, hear_to_the_end);
    }
    let mut split =
        Split::start("a_child_that_does_nothing_keeps_the_runs_of_a_killed_process_until_it_ends");
    split.check_kept("b");
    split.parent.kill();
    split.check_kept("c");
    split.parent.leave();
    split.check_taken_over();
}

/// Bug: a child that opened an engine of its own, as the error told it to, acknowledged steps that were then lost. Cause: its
/// copy of SQLite took the locks of its parent's connections for its own and asked the system for none, so whoever
/// closed the database last removed the log under it. Fix: a child is refused what its parent had open.
#[test]
fn a_child_that_opens_what_its_parent_has_open_is_refused_and_keeps_nothing() {
    if let Some((_, place)) = role() {
        let opens = place.clone();
        return split(&place, move || {
            hear();
            let opened = open(&opens);
            let said = opened.as_ref().err().map(ToString::to_string);
            say(&format!("the child ended: {}", said.unwrap_or_default()));
            hear();
            if let Ok(engine) = opened {
                two_steps::durable("of the child", "c".to_owned()).on(&engine).run().unwrap();
                say("acknowledged");
            }
            say("the child has gone on");
            hear_to_the_end();
        });
    }
    let mut split = Split::start("a_child_that_opens_what_its_parent_has_open_is_refused_and_keeps_nothing");
    split.check_kept("b");
    split.parent.tell();
    let said = split.parent.last_words();
    split.parent.kill();
    // Whoever closes the database last removes its log.
    drop(open(&split.place).unwrap());
    split.parent.tell();
    split.parent.wait_for("the child has gone on");
    let is_refused = said.contains("was open in process") && said.ends_with("start another program");
    assert!(
        is_refused,
        "{said:?}; {:?} of what it did is recorded",
        split.rival.run("of the child").unwrap()
    );
    // It lives on, and holds nothing up.
    split.check_taken_over();
}

#[test]
fn a_child_that_uses_the_engine_of_its_parent_is_refused_and_keeps_nothing() {
    if let Some((_, place)) = role() {
        let engine = open(&place).unwrap();
        return split(&place, move || {
            hear();
            let ended = two_steps::durable("of the child", "c".to_owned()).on(&engine).run().unwrap_err();
            say(&format!("the child ended: {ended}"));
            assert!(matches!(engine.cancel("a"), Err(Error::Forked { .. })));
            hear_to_the_end();
        });
    }
    let mut split = Split::start("a_child_that_uses_the_engine_of_its_parent_is_refused_and_keeps_nothing");
    split.parent.tell();
    let said = split.parent.last_words();
    assert!(said.contains("this process was forked from the one that opened the engine"), "{said}");
    split.check_kept("b");
    split.parent.kill();
    split.check_taken_over();
}

/// Drops the engine in a child, and goes on with it.
fn drop_in_child(place: &Place) {
    let mut engine = Some(open(place).unwrap());
    let run = |engine: &Option<Engine>, id: &str| {
        two_steps::durable(id, id.to_owned()).on(engine.as_ref().unwrap()).run().unwrap();
    };
    run(&engine, "a");
    fork(|| {
        drop(engine.take());
        say(&format!("the child ended: {}", open(place).is_err()));
    });
    for id in ["b", "c", "d"] {
        hear();
        run(&engine, id);
        say("acknowledged");
    }
    thread::park();
}

#[test]
fn a_child_that_drops_the_engine_takes_nothing_from_its_parent() {
    if let Some((_, place)) = role() {
        return drop_in_child(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    let test = "a_child_that_drops_the_engine_takes_nothing_from_its_parent";
    let mut parent = Actor::start(test, "parent", folder.path());
    assert_eq!(parent.last_words(), "the child ended: true", "it is refused, now as before");
    for _ in 0..3 {
        parent.tell();
        parent.wait_for("acknowledged");
        drop(open(&place).unwrap());
    }
    parent.kill();
    let engine = open(&place).unwrap();
    let ended = |run: durable::store::RunRecord| (run.id.to_string(), run.status);
    let runs: Vec<_> = engine.runs().map(|run| ended(run.unwrap())).collect();
    assert_eq!(runs, ["a", "b", "c", "d"].map(|id| (id.to_owned(), RunStatus::Completed)));
    drop(engine);
    // Nobody has removed the log of a database that others had open.
    assert_eq!(integrity(&place), "ok");
}

/// What was closed before the fork is nobody's.
#[test]
fn a_child_opens_what_its_parent_has_closed() {
    if let Some((_, place)) = role() {
        drop(open(&place).unwrap());
        fork(|| {
            let engine = open(&place).unwrap();
            let value = two_steps::durable("a", "a".to_owned()).on(&engine).run().unwrap();
            say(&format!("the child ended: {value}"));
        });
        return thread::park();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Actor::start("a_child_opens_what_its_parent_has_closed", "parent", folder.path());
    assert_eq!(parent.last_words(), "the child ended: 7");
}

fn integrity(place: &Place) -> String {
    let database = rusqlite::Connection::open(place.database()).unwrap();
    database.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap()
}
