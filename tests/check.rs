//! `Engine::check` replays the unfinished runs of a store against the running code. Each shape of a run is left
//! half-way, checked by the code that recorded it and by code that was changed, and must be found as it was left: no
//! row is written, no step runs.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use durable::store::memory::MemoryStore;
use durable::store::{Answer, Op, OwnerId, RunStatus, StepReader, StepStore, StoreError};
use durable::{Checked, Engine, Error, Finding, StepFailed, Topic, step, workflow};
use support::{HeldClock, Log, Switches, block_on, builder};

/// Counts the writes of its store, and forges them: what another program has written.
#[derive(Clone, Default)]
struct Ledger {
    writes: Arc<AtomicU32>,
    forge: Arc<Mutex<Option<Forge>>>,
}

type Forge = fn(&mut Op);

struct Store(MemoryStore, Ledger);

impl StepStore for Store {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        self.1.writes.fetch_add(1, Ordering::SeqCst);
        let mut ops = ops.to_vec();
        if let Some(forge) = *self.1.forge.lock().unwrap() {
            ops.iter_mut().for_each(forge);
        }
        self.0.apply(&ops)
    }

    fn blocks(&self) -> bool {
        false
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.0.reader()
    }

    fn owner(&self) -> OwnerId {
        self.0.owner()
    }
}

struct Bench {
    engine: Engine,
    log: Log,
    switches: Switches,
    ledger: Ledger,
    clock: HeldClock,
}

impl Bench {
    fn new() -> Self {
        let (log, switches, ledger) = (Log::default(), Switches::default(), Ledger::default());
        let clock = HeldClock::default();
        let store = Store(MemoryStore::default(), ledger.clone());
        let engine = builder(&log, &switches).clock(clock.clone()).store(store).unwrap();
        Self { engine, log, switches, ledger, clock }
    }

    fn dump(&self) -> String {
        let runs: Vec<_> = self.engine.runs().map(Result::unwrap).collect();
        let steps: Vec<_> = runs.iter().map(|run| self.engine.steps(&run.id).unwrap()).collect();
        format!("{runs:#?} {steps:#?} {:?}", self.log.lines())
    }

    /// Checks, and holds the check to its word: nothing is written, nothing runs.
    #[track_caller]
    fn check(&self) -> Vec<Checked> {
        let (rows, writes) = (self.dump(), self.ledger.writes.load(Ordering::SeqCst));
        let checked = self.engine.check().unwrap();
        assert_eq!(self.dump(), rows, "a row or an effect");
        assert_eq!(self.ledger.writes.load(Ordering::SeqCst), writes, "a write");
        checked
    }

    /// The finding of the only run.
    #[track_caller]
    fn finding(&self) -> Finding {
        let mut checked = self.check();
        assert_eq!(checked.len(), 1, "{checked:?}");
        checked.remove(0).finding
    }

    #[track_caller]
    fn goes_on_with(&self, expected: &[&str]) {
        let finding = self.finding();
        let Finding::GoesOn(at) = &finding else { panic!("{finding:?}") };
        assert_eq!(at.iter().map(durable::StepKey::as_str).collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn diverges(&self, recorded: &str, found: &str) {
        let finding = self.finding();
        let Finding::Diverges(divergence) = &finding else { panic!("{finding:?}") };
        assert_eq!((divergence.recorded.name.as_str(), divergence.found.name.as_str()), (recorded, found));
    }
}

#[step]
fn note(what: &str) -> u32 {
    Log::note(what);
    1
}

#[step(name = "note")]
async fn note_async(what: &str) -> u32 {
    Log::note(what);
    1
}

#[step]
fn other() -> u32 {
    Log::note("other");
    1
}

/// Interrupts the run here, as a crash would.
fn stop_at(place: &str) {
    assert!(!Switches::is_set(place), "stopped at {place}");
}

/// Leaves a run half-way, and says where the code that recorded it goes on; then changes the code, and says what was
/// recorded and what is found.
#[track_caller]
fn shape(run: impl Fn(&Engine) -> bool, goes_on: &[&str], (recorded, found): (&str, &str)) {
    let bench = Bench::new();
    bench.switches.set("stop");
    assert!(!run(&bench.engine), "it was left half-way");
    bench.switches.clear();
    bench.goes_on_with(goes_on);
    bench.switches.set("changed");
    bench.diverges(recorded, found);
    bench.switches.clear();
    bench.goes_on_with(goes_on);
    assert!(run(&bench.engine), "it goes on");
    assert!(bench.check().is_empty(), "it has ended");
}

/// The first step, in two versions of the program.
fn first() -> u32 {
    if Switches::is_set("changed") { other() } else { note("first") }
}

#[workflow]
fn sequential() -> u32 {
    first();
    note("second");
    stop_at("stop");
    note("third")
}

#[test]
fn a_sequence_goes_on_with_its_next_step() {
    let run = |engine: &Engine| sequential::durable("a").on(engine).run().is_ok();
    shape(run, &["note_2"], ("note", "other"));
}

#[workflow]
fn looping() -> u32 {
    for turn in 0..5 {
        if turn == 2 && Switches::is_set("changed") {
            other();
        }
        note("turn");
        if turn == 3 {
            stop_at("stop");
        }
    }
    1
}

#[test]
fn a_loop_goes_on_with_its_next_turn() {
    let run = |engine: &Engine| looping::durable("a").on(engine).run().is_ok();
    shape(run, &["note_4"], ("note", "other"));
}

#[workflow]
fn joining() -> u32 {
    let (a, b) = durable::join(
        || {
            note("a1");
            stop_at("stop");
            note("a2")
        },
        || {
            first();
            stop_at("stop");
            note("b2");
            note("b3")
        },
    );
    a + b + note("after")
}

#[test]
fn a_join_goes_on_in_each_branch() {
    let run = |engine: &Engine| joining::durable("a").on(engine).run().is_ok();
    shape(run, &["note_0.0.1", "note_0.1.1"], ("note", "other"));
}

#[workflow]
fn mapping() -> u32 {
    let inner = |n: u32| {
        first();
        if n == 1 {
            stop_at("stop");
        }
        note("in map")
    };
    durable::map(0..4, 1, inner).iter().sum::<u32>() + note("after")
}

#[test]
fn a_map_goes_on_in_the_items_that_are_left() {
    let run = |engine: &Engine| mapping::durable("a").on(engine).run().is_ok();
    shape(run, &["note_0.1.1", "note_0.2.0", "note_0.3.0"], ("note", "other"));
}

#[workflow]
fn scoping() -> u32 {
    let sum = durable::scope(|s| {
        let a = s.spawn(|| note("a"));
        let b = s.spawn(|| {
            first();
            stop_at("stop");
            note("b")
        });
        a.join() + b.join()
    });
    sum + note("after")
}

#[test]
fn a_scope_goes_on_in_the_branches_that_are_left() {
    let run = |engine: &Engine| scoping::durable("a").on(engine).run().is_ok();
    shape(run, &["note_0.2.1"], ("note", "other"));
}

#[workflow]
fn inner(stops: bool) -> u32 {
    first();
    if stops {
        stop_at("stop");
    }
    note("inner")
}

#[workflow]
fn outer() -> u32 {
    inner(false) + inner(true) + note("after")
}

#[test]
fn a_child_goes_on_within() {
    let run = |engine: &Engine| outer::durable("a").on(engine).run().is_ok();
    let bench = Bench::new();
    bench.switches.set("stop");
    assert!(!run(&bench.engine));
    bench.switches.clear();
    bench.goes_on_with(&["note_1.0.1"]);
    bench.switches.set("changed");
    // The first child is skipped as a whole.
    let Finding::Diverges(divergence) = bench.finding() else { panic!() };
    assert_eq!(divergence.position.to_string(), "1.0.0");
}

#[workflow]
fn last_of_a_child() -> u32 {
    inner_that_stops_behind() + note("after")
}

#[workflow]
fn inner_that_stops_behind() -> u32 {
    first();
    stop_at("stop");
    1
}

#[test]
fn a_child_that_has_ended_and_is_not_recorded_is_what_the_run_goes_on_with() {
    let run = |engine: &Engine| last_of_a_child::durable("a").on(engine).run().is_ok();
    shape(run, &["inner_that_stops_behind_0"], ("note", "other"));
}

#[workflow]
fn own_run() -> u32 {
    first();
    1
}

#[workflow]
fn starting() -> u32 {
    first();
    own_run::run_durable("child").unwrap();
    let handle = own_run::start("started").unwrap();
    stop_at("stop");
    handle.wait().unwrap() + own_run::run_durable("another").unwrap()
}

#[test]
fn runs_of_their_own_are_neither_started_nor_waited_for() {
    let bench = Bench::new();
    bench.switches.set("stop");
    starting::durable("a").on(&bench.engine).run().unwrap_err();
    let started = bench.engine.handle::<own_run>("started").unwrap().unwrap();
    started.wait().unwrap();
    bench.switches.clear();
    bench.goes_on_with(&["own_run_3"]);
    assert!(bench.engine.run("another").unwrap().is_none());
}

#[workflow]
async fn concurrent() -> u32 {
    let part = async |name: &str, stops: bool| {
        first();
        note_async(name).await;
        if stops {
            stop_at("stop");
        }
        note_async(name).await
    };
    let (a, b) = durable::join!(part("a", false), part("b", true));
    let sum: u32 = durable::future::map([1, 2], 1, async |_| note_async("in map").await).await.iter().sum();
    a + b + sum + note_async("after").await
}

#[test]
fn an_async_workflow_goes_on_in_each_branch() {
    let run = |engine: &Engine| block_on(concurrent::durable("a").on(engine).run()).is_ok();
    shape(run, &["note_0.1.2"], ("note", "other"));
}

#[workflow]
async fn mapped_async() -> u32 {
    let part = async |n: u32| {
        note_async("in map").await;
        if n == 1 {
            stop_at("stop");
        }
        if Switches::is_set("changed") { other() } else { note_async("behind").await }
    };
    durable::future::map(0..3, 1, part).await.iter().sum()
}

#[test]
fn an_async_map_goes_on_in_the_items_that_are_left() {
    let run = |engine: &Engine| block_on(mapped_async::durable("a").on(engine).run()).is_ok();
    shape(run, &["note_0.1.1", "note_0.2.0"], ("note", "other"));
}

#[workflow]
fn sleeping() -> u32 {
    first();
    durable::sleep(Duration::from_hours(1));
    note("after")
}

#[workflow]
async fn sleeping_async() -> u32 {
    first();
    durable::future::sleep(Duration::from_hours(1)).await;
    note_async("after").await
}

#[test]
fn a_run_that_sleeps_is_checked_up_to_its_sleep_and_not_waited_for() {
    for is_async in [false, true] {
        let bench = Bench::new();
        if is_async {
            drop(block_on(sleeping_async::durable("a").on(&bench.engine).start()).unwrap());
        } else {
            drop(sleeping::durable("a").on(&bench.engine).start().unwrap());
        }
        while bench.engine.run("a").unwrap().unwrap().owner.is_some() {
            std::thread::yield_now();
        }
        assert!(bench.engine.shutdown(Duration::ZERO).is_empty());
        bench.goes_on_with(&["sleep_1"]);
        bench.switches.set("changed");
        bench.diverges("note", "other");
        bench.switches.clear();
        bench.clock.advance(Duration::from_hours(1));
        bench.goes_on_with(&["note_2"]);
    }
}

const WORD: Topic<String> = Topic::new("word");

#[workflow]
fn receiving() -> u32 {
    first();
    let word = durable::recv(WORD, Duration::from_hours(1));
    stop_at("stop");
    durable::send("nobody", WORD, "word".to_owned()).unwrap();
    u32::from(word.is_some())
}

#[test]
fn messages_are_neither_received_nor_sent() {
    let bench = Bench::new();
    drop(receiving::durable("a").on(&bench.engine).start().unwrap());
    while bench.engine.run("a").unwrap().unwrap().owner.is_some() {
        std::thread::yield_now();
    }
    assert!(bench.engine.shutdown(Duration::ZERO).is_empty());
    bench.engine.send("a", WORD, "hello".to_owned()).unwrap();
    bench.goes_on_with(&["word_1"]);
    bench.switches.set("stop");
    receiving::durable("a").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.goes_on_with(&["word_2"]);
}

#[test]
fn a_halted_run_is_checked_whether_the_code_is_mended() {
    let bench = Bench::new();
    bench.switches.set("stop");
    sequential::durable("a").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.switches.set("changed");
    sequential::durable("a").on(&bench.engine).run().unwrap_err();
    assert_eq!(bench.engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    bench.diverges("note", "other");
    bench.switches.clear();
    bench.goes_on_with(&["note_2"]);
}

#[test]
fn a_paused_run_is_checked_and_a_cancelled_one_is_not() {
    let bench = Bench::new();
    bench.switches.set("stop");
    sequential::durable("a").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.engine.pause("a").unwrap();
    bench.goes_on_with(&["note_2"]);
    bench.engine.cancel("a").unwrap();
    assert!(bench.check().is_empty());
}

#[step]
fn fail(what: &str) -> Result<u32, StepFailed> {
    Log::note(what);
    Err(StepFailed::new(durable::FailureKind::Error, "fail", "it failed", 1))
}

#[workflow]
fn failing() -> Result<u32, StepFailed> {
    first();
    fail("failed")
}

#[workflow]
fn failing_and_more() -> Result<u32, StepFailed> {
    let failed = fail("failed");
    first();
    failed
}

#[test]
fn a_failed_run_is_checked_as_it_would_be_tried_again() {
    let bench = Bench::new();
    failing::durable("a").on(&bench.engine).run().unwrap_err();
    bench.goes_on_with(&["fail_1"]);
    bench.engine.retry("a").unwrap();
    bench.goes_on_with(&["fail_1"]);
    bench.switches.set("changed");
    bench.diverges("note", "other");

    let bench = Bench::new();
    failing_and_more::durable("a").on(&bench.engine).run().unwrap_err();
    assert!(bench.check().is_empty(), "nothing in it runs again");
}

#[step(at_most_once)]
fn wire() -> Result<f64, StepFailed> {
    Log::note("wire");
    Ok(f64::NAN)
}

#[workflow]
fn paying() -> u32 {
    let wired = durable::patched("wires") && wire().is_ok();
    u32::from(wired) + note("after")
}

#[test]
fn a_run_whose_step_was_interrupted_goes_on_behind_it() {
    let bench = Bench::new();
    paying::durable("a").on(&bench.engine).run().unwrap_err();
    bench.goes_on_with(&["note_2"]);
    assert_eq!(paying::durable("a").on(&bench.engine).run().unwrap(), 1);
}

/// Code that keeps what ended its body gets no further.
#[workflow]
fn catching() -> u32 {
    first();
    stop_at("stop");
    drop(catch_unwind(AssertUnwindSafe(|| note("second"))));
    drop(catch_unwind(AssertUnwindSafe(|| durable::join(|| note("third"), || note("fourth")))));
    note("fifth")
}

/// The same in a branch, and around its construct.
#[workflow]
fn catching_in_a_branch() -> u32 {
    let item = |n: u32| {
        if n == 0 || Switches::is_set("stop") {
            return if n == 0 { first() } else { 0 };
        }
        u32::from(catch_unwind(AssertUnwindSafe(|| note("branch"))).is_err())
    };
    let sum = catch_unwind(AssertUnwindSafe(|| durable::map(0..2, 1, item).iter().sum::<u32>()));
    stop_at("stop");
    sum.unwrap_or(0) + note("after")
}

#[test]
fn a_branch_that_catches_the_unwinding_gains_nothing() {
    let bench = Bench::new();
    bench.switches.set("stop");
    catching_in_a_branch::durable("a").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.goes_on_with(&["note_0.1.0"]);
}

#[test]
fn code_that_catches_the_unwinding_gains_nothing() {
    let bench = Bench::new();
    drop(catching::durable("b").on(&bench.engine).start_after(Duration::from_secs(1)).unwrap());
    bench.goes_on_with(&["note_0"]);

    let bench = Bench::new();
    bench.switches.set("stop");
    catching::durable("b").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.goes_on_with(&["note_1"]);
}

struct Compensates;

impl Drop for Compensates {
    fn drop(&mut self) {
        note("compensation");
    }
}

#[workflow]
fn compensating() -> u32 {
    let _guard = Compensates;
    first();
    1
}

#[workflow]
async fn compensating_async() -> u32 {
    let _guard = Compensates;
    note_async("first").await
}

#[test]
fn a_drop_that_calls_a_step_runs_none() {
    let bench = Bench::new();
    drop(compensating::durable("a").on(&bench.engine).start_after(Duration::from_secs(1)).unwrap());
    let start = compensating_async::durable("b").on(&bench.engine).start_after(Duration::from_secs(1));
    drop(block_on(start).unwrap());
    for checked in bench.check() {
        assert!(matches!(checked.finding, Finding::Unknown), "{checked}");
        assert!(checked.to_string().ends_with("a `Drop` in its body calls a durable operation"), "{checked}");
    }
}

#[workflow]
fn taking(text: String) -> u32 {
    stop_at("stop");
    note(&text)
}

#[test]
fn what_this_program_cannot_read_or_does_not_know_is_told_run_by_run() {
    let bench = Bench::new();
    bench.switches.set("stop");
    let forgeries: [(&str, Option<Forge>); 4] = [
        ("a", None),
        (
            "b",
            Some(|op| {
                if let Op::Start(start) = op {
                    start.name = "unknown".into();
                }
            }),
        ),
        (
            "c",
            Some(|op| {
                if let Op::Start(start) = op {
                    start.input = "[7]".into();
                }
            }),
        ),
        ("d", None),
    ];
    for (id, forge) in forgeries {
        *bench.ledger.forge.lock().unwrap() = forge;
        taking::durable(id, "text".into()).on(&bench.engine).run().unwrap_err();
    }
    *bench.ledger.forge.lock().unwrap() = None;
    bench.switches.clear();
    let checked = bench.check();
    let [a, b, c, d] = &checked[..] else { panic!("{checked:?}") };
    assert!(a.is_fine() && d.is_fine() && !b.is_fine() && !c.is_fine());
    assert_eq!(a.to_string(), "\"a\" of `taking`: goes on with note_0");
    assert!(matches!(b.finding, Finding::NotLinked), "{b}");
    assert_eq!(b.to_string(), "\"b\" of `unknown`: no workflow of this program has that name");
    assert!(matches!(&c.finding, Finding::Stops(Error::Undecodable { .. })), "{c}");

    bench.switches.set("stop");
    let checked = bench.check();
    assert!(matches!(&checked[0].finding, Finding::Stops(Error::Panicked { .. })), "{}", checked[0]);
}

#[step]
fn add(number: u32) -> u32 {
    Log::note("add");
    number
}

#[workflow]
fn adding() -> u32 {
    let sum = add(if Switches::is_set("changed") { 2 } else { 1 });
    stop_at("stop");
    if Switches::is_set("changed") {
        return sum;
    }
    note("second")
}

#[test]
fn other_arguments_are_a_warning_where_another_build_recorded_them() {
    for (forge, is_other) in [
        (None, false),
        (
            Some(
                (|op| {
                    if let Op::Record(record) = op {
                        record.step.build = 7;
                    }
                }) as Forge,
            ),
            true,
        ),
    ] {
        let bench = Bench::new();
        *bench.ledger.forge.lock().unwrap() = forge;
        bench.switches.set("stop");
        adding::durable("a").on(&bench.engine).run().unwrap_err();
        bench.switches.clear();
        bench.switches.set("changed");
        let checked = bench.check().remove(0);
        if is_other {
            assert!(matches!(checked.finding, Finding::Ends), "{checked}");
            assert_eq!(checked.other_arguments[0].as_str(), "add_0");
            assert!(
                checked.to_string().ends_with("with other arguments than were recorded: add_0"),
                "{checked}"
            );
        } else {
            assert!(matches!(checked.finding, Finding::Diverges(_)), "{checked}");
        }
    }
}

#[test]
fn steps_that_the_code_does_not_come_to_any_more_are_named() {
    let bench = Bench::new();
    bench.switches.set("stop");
    shortened::durable("a").on(&bench.engine).run().unwrap_err();
    bench.switches.clear();
    bench.switches.set("changed");
    let checked = bench.check().remove(0);
    assert!(matches!(checked.finding, Finding::Ends), "{checked}");
    assert_eq!(checked.unreached.iter().map(durable::StepKey::as_str).collect::<Vec<_>>(), ["note_1"]);
}

#[workflow]
fn shortened() -> u32 {
    note("first");
    if !Switches::is_set("changed") {
        note("second");
    }
    stop_at("stop");
    1
}

/// The engine of the run, for a step that checks it.
#[derive(Clone, Default)]
struct Late(Arc<OnceLock<Engine>>);

#[step]
fn checks() -> Vec<String> {
    let late = durable::resource::<Late>();
    late.0.get().unwrap().check().unwrap().iter().map(ToString::to_string).collect()
}

#[workflow]
fn checking() -> Vec<String> {
    durable::uuid();
    checks()
}

#[test]
fn a_run_that_is_being_executed_is_checked_beside_its_execution() {
    let folder = tempfile::tempdir().unwrap();
    let late = Late::default();
    let engine = Engine::builder().with(late.clone()).open(folder.path().join("runs.db")).unwrap();
    assert!(late.0.set(engine.clone()).is_ok());
    let checked = checking::durable("a").on(&engine).run().unwrap();
    assert_eq!(checked, ["\"a\" of `checking`: goes on with checks_0"]);
}

#[test]
fn a_damaged_row_is_a_finding_and_hides_no_other_run() {
    let (folder, log, switches) = (tempfile::tempdir().unwrap(), Log::default(), Switches::default());
    let path = folder.path().join("runs.db");
    let engine = builder(&log, &switches).open(&path).unwrap();
    switches.set("stop");
    for id in ["a", "b", "c"] {
        sequential::durable(id).on(&engine).run().unwrap_err();
    }
    switches.clear();
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute_batch("update steps set output = '7' where workflow_id = 'a'").unwrap();
    rows.execute_batch("update workflows set input = '[7]' where id = 'b'").unwrap();
    let checked = engine.check().unwrap();
    let [a, b, c] = &checked[..] else { panic!("{checked:?}") };
    assert!(matches!(a.finding, Finding::Stops(Error::Store { .. })), "{a}");
    assert!(matches!(b.finding, Finding::Stops(Error::Read(_))), "{b}");
    assert_eq!((b.id.as_str(), b.status), ("b", None));
    assert_eq!(c.to_string(), "\"c\" of `sequential`: goes on with note_2");
}

/// A race that is decided, one that is not, and a message in between.
#[workflow]
async fn racing() -> u32 {
    let slow = async {
        note_async("slow").await;
        std::future::pending::<u32>().await
    };
    let won = durable::race!(slow, async {
        first();
        note("won")
    });
    durable::future::recv(GO, Duration::ZERO).await;
    stop_at("stop");
    won + durable::race!(async { note("second") }, std::future::pending())
}

const GO: Topic<u32> = Topic::new("go");

#[test]
fn a_decided_race_is_passed_and_an_open_one_is_where_the_run_goes_on() {
    let run = |engine: &Engine| block_on(racing::durable("a").on(engine).run()).is_ok();
    shape(run, &["race_2"], ("note", "other"));
}

struct Calls;

impl Drop for Calls {
    fn drop(&mut self) {
        note("dropped");
    }
}

#[workflow]
async fn drops() -> u32 {
    let loser = async { (Calls, std::future::pending::<u32>().await).1 };
    durable::race!(loser, async { note("won") });
    stop_at("stop");
    note("last")
}

#[test]
fn what_a_loser_calls_when_it_is_dropped_does_not_run_in_a_check() {
    let bench = Bench::new();
    bench.switches.set("stop");
    block_on(drops::durable("a").on(&bench.engine).run()).unwrap_err();
    assert_eq!(bench.log.lines(), ["won", "dropped"]);
    bench.check();
}
