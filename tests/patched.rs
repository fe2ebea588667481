//! Code that was changed while runs of it were under way: a run that has passed a patch keeps the old way, every other
//! one takes the new, for ever. One test binary plays the old and the new program: a switch of the engine says which.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use durable::store::Kind;
use durable::{Engine, Error, RunError, StepFailed, step, workflow};
use support::{Log, Switches, block_on, engine, keys};

#[step]
fn note(what: &str) -> u32 {
    Log::note(what);
    1
}

#[step]
async fn note_async(what: &str) -> u32 {
    Log::note(what);
    1
}

#[step]
fn fail(what: &str) -> Result<u32, StepFailed> {
    Log::note(what);
    if Switches::is_set("fails") {
        return Err(StepFailed::new(durable::FailureKind::Error, "fail", "it failed", 1));
    }
    Ok(1)
}

/// Interrupts the run here, as a crash would.
fn stop_at(place: &str) {
    assert!(!Switches::is_set(place), "stopped at {place}");
}

/// Whether the new program takes the new way; the old one knows of no patch.
#[track_caller]
fn is_new(patch: &'static str) -> bool {
    Switches::is_set("new program") && durable::patched(patch)
}

#[workflow]
fn order() -> u32 {
    stop_at("start");
    note("first");
    stop_at("middle");
    if is_new("fraud") {
        stop_at("patch");
        note("new");
    } else {
        note("old");
    }
    stop_at("end");
    note("last")
}

struct Bench {
    engine: Engine,
    log: Log,
    switches: Switches,
}

impl Bench {
    fn new() -> Self {
        let (engine, log, switches) = engine();
        Self { engine, log, switches }
    }

    /// The switches of the run that is called next.
    fn program(&self, switches: &[&str]) {
        self.switches.clear();
        for switch in switches {
            self.switches.set(switch);
        }
    }

    fn order(&self) -> Result<u32, RunError<std::convert::Infallible>> {
        order::durable("a").on(&self.engine).run()
    }

    #[track_caller]
    fn keys(&self, expected: &[&str]) {
        assert_eq!(keys(&self.engine, "a"), expected);
    }
}

#[test]
fn a_new_run_takes_the_new_way_and_records_that_with_the_next_step() {
    let bench = Bench::new();
    bench.program(&["new program"]);
    bench.order().unwrap();
    bench.keys(&["note_0", "fraud_1", "note_2", "note_3"]);
    assert_eq!(bench.log.lines(), ["first", "new", "last"]);
    let marker = &bench.engine.steps("a").unwrap()[1];
    assert_eq!((marker.kind, marker.output.as_str(), marker.attempts), (Kind::Patch, "true", 1));
    assert!(marker.site.starts_with("tests/patched.rs:"), "{}", marker.site);
}

/// The old program comes to a place, the new one goes on from there, and is interrupted once more on its way.
#[test]
fn an_old_run_keeps_the_old_way_once_it_has_passed_the_patch() {
    for (place, last) in [("start", "new"), ("middle", "new"), ("end", "old")] {
        for again in ["patch", "end"] {
            let bench = Bench::new();
            bench.program(&[place]);
            bench.order().unwrap_err();
            bench.program(&["new program", again]);
            bench.order().unwrap_err_if(again == "end" || last == "new");
            bench.program(&["new program"]);
            bench.order().unwrap();
            assert_eq!(bench.log.lines(), ["first", last, "last"], "stopped at {place}, then at {again}");
        }
    }
}

trait UnwrapErrIf {
    fn unwrap_err_if(self, fails: bool);
}

impl<T: std::fmt::Debug, E: std::fmt::Debug> UnwrapErrIf for Result<T, E> {
    #[track_caller]
    fn unwrap_err_if(self, fails: bool) {
        assert_eq!(self.is_err(), fails, "{self:?}");
    }
}

#[test]
fn the_answer_is_the_same_in_every_replay() {
    for (program, way) in [(&["end"][..], "old"), (&["end", "new program"], "new")] {
        let bench = Bench::new();
        bench.program(program);
        bench.order().unwrap_err();
        let before = keys(&bench.engine, "a");
        for _ in 0..3 {
            bench.program(&["new program", "end"]);
            bench.order().unwrap_err();
            assert_eq!(keys(&bench.engine, "a"), before);
        }
        bench.program(&["new program"]);
        bench.order().unwrap();
        assert_eq!(bench.log.lines(), ["first", way, "last"]);
    }
}

/// Nothing rests on it yet: the run comes here for the first time once more.
#[test]
fn a_marker_that_nothing_rests_on_is_not_written() {
    let bench = Bench::new();
    bench.program(&["new program", "patch"]);
    bench.order().unwrap_err();
    bench.keys(&["note_0"]);
    bench.program(&["new program"]);
    bench.order().unwrap();
    bench.keys(&["note_0", "fraud_1", "note_2", "note_3"]);
    assert_eq!(bench.log.lines(), ["first", "new", "last"]);
}

#[workflow]
fn turns(count: u32) -> u32 {
    for turn in 0..count {
        if is_new("turn") {
            note(&format!("new {turn}"));
        } else {
            note(&format!("old {turn}"));
        }
        stop_at(&format!("after {turn}"));
    }
    note("last")
}

#[test]
fn in_a_loop_each_turn_is_asked_on_its_own() {
    let bench = Bench::new();
    bench.program(&["after 1"]);
    turns::durable("a", 4).on(&bench.engine).run().unwrap_err();
    bench.program(&["new program", "after 2"]);
    turns::durable("a", 4).on(&bench.engine).run().unwrap_err();
    bench.program(&["new program"]);
    turns::durable("a", 4).on(&bench.engine).run().unwrap();
    assert_eq!(bench.log.lines(), ["old 0", "old 1", "new 2", "new 3", "last"]);
    bench.keys(&["note_0", "note_1", "turn_2", "note_3", "turn_4", "note_5", "note_6"]);
}

/// What a branch does: a step, a patch, a step behind it, or none.
fn branch(name: &str, old: bool) {
    note(name);
    if is_new("branch") {
        note(&format!("new {name}"));
    } else if old {
        note(&format!("old {name}"));
    }
}

#[workflow]
fn inner(name: String) -> u32 {
    branch(&name, true);
    1
}

#[workflow]
fn branches() -> u32 {
    durable::join(|| branch("a", true), || branch("b", false));
    stop_at("after join");
    durable::map(["c", "d"], 1, |name| {
        branch(name, false);
        stop_at(&format!("after {name}"));
    });
    inner("e".into());
    stop_at("after inner");
    note("last")
}

#[test]
fn branches_and_children_that_were_passed_keep_the_old_way_though_nothing_was_recorded_there() {
    let run = |bench: &Bench| branches::durable("a").on(&bench.engine).run();
    let bench = Bench::new();
    bench.program(&["after inner"]);
    run(&bench).unwrap_err();
    bench.program(&["new program"]);
    run(&bench).unwrap();
    let lines = bench.log.lines();
    assert!(lines.iter().all(|line| !line.contains("new")), "{lines:?}");
    assert!(keys(&bench.engine, "a").iter().all(|key| !key.contains("branch")));

    // Stopped within the map: its first item has nothing behind the patch, and nothing came after.
    let bench = Bench::new();
    bench.program(&["after c"]);
    run(&bench).unwrap_err();
    bench.program(&["new program"]);
    run(&bench).unwrap();
    let new: Vec<_> = bench.log.lines().into_iter().filter(|line| line.contains("new")).collect();
    assert_eq!(new, ["new c", "new d", "new e"]);
}

#[test]
fn new_runs_take_the_new_way_in_branches_and_children_and_replay_it() {
    let bench = Bench::new();
    for place in ["after join", "after c", "after d", "after inner"] {
        bench.program(&["new program", place]);
        branches::durable("a").on(&bench.engine).run().unwrap_err();
    }
    bench.program(&["new program"]);
    branches::durable("a").on(&bench.engine).run().unwrap();
    let mut lines = bench.log.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d", "e", "last", "new a", "new b", "new c", "new d", "new e"]);
    let markers: Vec<_> = keys(&bench.engine, "a").into_iter().filter(|key| key.contains("branch")).collect();
    assert_eq!(markers, ["branch_0.0.1", "branch_0.1.1", "branch_1.0.1", "branch_1.1.1", "branch_2.0.1"]);
}

#[workflow]
async fn order_async() -> u32 {
    note_async("first").await;
    stop_at("middle");
    let (a, b) = durable::join!(part("a"), part("b"));
    if is_new("after") {
        note_async("new").await;
    }
    stop_at("end");
    a + b + note_async("last").await
}

async fn part(name: &str) -> u32 {
    if is_new("part") {
        note_async(&format!("new {name}")).await
    } else {
        note_async(&format!("old {name}")).await
    }
}

#[test]
fn it_is_the_same_function_in_an_async_workflow() {
    let run = |bench: &Bench| block_on(order_async::durable("a").on(&bench.engine).run());
    for (place, expected) in [
        ("middle", &["first", "new a", "new b", "new", "last"][..]),
        // Behind the last patch nothing was recorded.
        ("end", &["first", "old a", "old b", "new", "last"]),
    ] {
        let bench = Bench::new();
        bench.program(&[place]);
        run(&bench).unwrap_err();
        bench.program(&["new program", "end"]);
        run(&bench).unwrap_err();
        bench.program(&["new program"]);
        run(&bench).unwrap();
        assert_eq!(bench.log.lines(), expected, "stopped at {place}");
    }
}

/// The failure that escaped is dropped when the run is called again, so nothing is recorded behind the patch any more.
#[workflow]
fn failing() -> Result<u32, StepFailed> {
    note("first");
    if is_new("way") { fail("new") } else { fail("old") }
}

#[test]
fn a_failed_run_takes_the_new_way_where_its_failure_runs_again() {
    let bench = Bench::new();
    for program in [&["fails"][..], &["new program", "fails"], &["new program"]] {
        bench.program(program);
        failing::durable("a").on(&bench.engine).run().unwrap_err_if(program.contains(&"fails"));
    }
    assert_eq!(bench.log.lines(), ["first", "old", "new", "new"]);
    bench.keys(&["note_0", "way_1", "fail_2"]);
}

/// Whether the patch is still in the code; once it is not, its new way is the only one.
#[track_caller]
fn is_new_or_retired(patch: &'static str) -> bool {
    Switches::is_set("retired") || durable::patched(patch)
}

#[workflow]
fn retiring() -> u32 {
    for name in ["a", "b"] {
        if is_new_or_retired("one") && is_new_or_retired("two") {
            note(name);
        }
    }
    durable::join(|| is_new_or_retired("three") && note("c") == 1, || note("d"));
    stop_at("end");
    stop_at(if durable::patched("four") { "nowhere" } else { "never" });
    note("last")
}

#[test]
fn a_recorded_marker_that_nobody_asks_for_is_passed_over() {
    let bench = Bench::new();
    bench.program(&["end"]);
    retiring::durable("a").on(&bench.engine).run().unwrap_err();
    bench.keys(&[
        "one_0",
        "two_1",
        "note_2",
        "one_3",
        "two_4",
        "note_5",
        "three_6.0.0",
        "note_6.0.1",
        "note_6.1.0",
    ]);
    bench.program(&["retired"]);
    retiring::durable("a").on(&bench.engine).run().unwrap();
    let mut lines = bench.log.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d", "last"]);
    assert_eq!(keys(&bench.engine, "a")[9..], ["four_7", "note_8"]);
    // A run that the later program starts has no markers to pass over.
    retiring::durable("b").on(&bench.engine).run().unwrap();
    assert_eq!(keys(&bench.engine, "b")[..2], ["note_0", "note_1"]);
}

#[test]
fn a_program_that_goes_back_behind_a_patch_diverges() {
    let bench = Bench::new();
    bench.program(&["new program"]);
    turns::durable("a", 1).on(&bench.engine).run().unwrap();
    bench.engine.rewind("a", "note_2").unwrap();
    bench.program(&[]);
    let ended = turns::durable("a", 1).on(&bench.engine).run();
    let Err(RunError::Engine(error @ Error::Divergence(_))) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("other arguments"), "{error}");
}

#[workflow]
fn caught() -> u32 {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        inner_that_panics();
    }));
    stop_at("end");
    u32::from(panicked.is_err()) + note("last")
}

/// Its marker is recorded with what comes after it in the run around it, for it has no record of its own.
#[workflow]
fn inner_that_panics() -> u32 {
    assert!(!is_new("panics"), "the new way panics");
    note("old")
}

#[test]
fn a_marker_in_a_child_that_a_panic_left_is_kept() {
    let bench = Bench::new();
    bench.program(&["new program"]);
    caught::durable("a").on(&bench.engine).run().unwrap();
    bench.keys(&["panics_0.0.0", "note_1"]);
    bench.engine.rewind("a", "note_1").unwrap();
    assert_eq!(caught::durable("a").on(&bench.engine).run().unwrap(), 2);
    assert_eq!(bench.log.lines(), ["last", "last"]);
}

#[test]
fn a_divergence_names_it_as_a_remedy() {
    let bench = Bench::new();
    bench.program(&["end"]);
    failing_or_not(&bench).unwrap_err();
    bench.program(&["swapped"]);
    let error = failing_or_not(&bench).unwrap_err().to_string();
    assert!(error.contains("keep the old way for such runs: `if durable::patched("), "{error}");
}

#[workflow]
fn swapping() -> u32 {
    if Switches::is_set("swapped") {
        durable::join(|| (), || ());
    }
    note("first");
    stop_at("end");
    1
}

fn failing_or_not(bench: &Bench) -> Result<u32, RunError<std::convert::Infallible>> {
    swapping::durable("a").on(&bench.engine).run()
}

#[step]
fn asks_in_a_step() -> bool {
    durable::patched("in a step")
}

#[workflow]
fn asking_in_a_step() -> bool {
    asks_in_a_step()
}

#[test]
fn outside_a_run_and_in_a_step_it_is_true() {
    assert!(durable::patched("outside"));
    let bench = Bench::new();
    assert!(asking_in_a_step::durable("a").on(&bench.engine).run().unwrap());
    bench.keys(&["asks_in_a_step_0"]);
}
