//! Changed programs (P13): pairs of an old and a new program. The old one is stopped after each of its
//! operations in turn, and the new one is resumed on what it recorded: it is refused with the right error, runs
//! nothing and writes no step, and the old one can still go on; or it is accepted where the rules say so, runs
//! only what is not recorded, and comes to what the rules say. Programs are data of the engine, so that both
//! have one name, one input and one build.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durable::store::{RunStatus, StepStatus};
use durable::{Difference, Engine, Error, RunError, step, workflow};
use durable_laboratory::{DATABASE, Recorder, Tally, Unit};
use rusqlite::Connection;

/// An operation of a program; numbers are arguments.
#[derive(Debug, Clone)]
enum Act {
    /// The step `a`, which returns a number.
    A(u64),
    /// The step `b`.
    B(u64),
    /// `a` with another type: a text, perhaps a number, a small number, a number or an error.
    Text(u64),
    Perhaps(u64),
    Small(u64),
    OrError(u64),
    /// The step `f`, which fails with a text.
    F,
    /// `f` with another type of error, and with none.
    Numbered,
    Sure,
    Sleep,
    Join(Vec<Act>, Vec<Act>),
    Map(Vec<u64>),
    /// The inline child `inner`, and one of another name.
    Child(Vec<Act>),
    Other(Vec<Act>),
    /// `inner` as a run of its own.
    Own(Vec<Act>),
}
use Act::{A, B, Child, F, Join, Map, Numbered, OrError, Other, Own, Perhaps, Sleep, Small, Sure, Text};

#[derive(Default)]
struct State {
    program: Vec<Act>,
    /// After so many operations the workflow is interrupted, as by a crash.
    stop: Option<usize>,
    /// The children that the program calls, in order of the calls.
    child: Vec<Act>,
    ran: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

fn state<R>(with: impl FnOnce(&mut State) -> R) -> R {
    with(&mut durable::resource::<Shared>().lock().unwrap())
}

fn ran(what: &str) {
    state(|state| state.ran.push(what.to_owned()));
}

#[step]
fn a(n: u64) -> u64 {
    ran("a");
    n * 10 + 1
}

#[step]
fn b(n: u64) -> u64 {
    ran("b");
    n * 10 + 2
}

#[step(name = "a")]
fn text(n: u64) -> String {
    ran("a");
    format!("text {n}")
}

#[step(name = "a")]
fn perhaps(n: u64) -> Option<u64> {
    ran("a");
    Some(n * 10 + 1)
}

#[step(name = "a")]
fn small(_n: u64) -> u8 {
    ran("a");
    1
}

#[step(name = "a")]
fn or_error(n: u64) -> Result<u64, String> {
    ran("a");
    Ok(n * 10 + 1)
}

#[step]
fn f() -> Result<u64, String> {
    ran("f");
    Err("refused".to_owned())
}

#[step(name = "f")]
fn numbered() -> Result<u64, u64> {
    ran("f");
    Err(7)
}

#[step(name = "f")]
fn sure() -> u64 {
    ran("f");
    7
}

#[workflow]
fn inner() -> Vec<String> {
    called()
}

#[workflow]
fn other() -> Vec<String> {
    called()
}

fn called() -> Vec<String> {
    let acts = state(|state| state.child.clone());
    acts.iter().map(play).collect()
}

#[workflow]
fn program() -> Vec<String> {
    let acts = state(|state| state.program.clone());
    let mut values = Vec::new();
    for (done, act) in acts.iter().enumerate() {
        stop_after(done);
        values.push(play(act));
    }
    stop_after(acts.len());
    values
}

fn stop_after(done: usize) {
    if state(|state| state.stop == Some(done)) {
        resume_unwind(Box::new("stopped"));
    }
}

fn play(act: &Act) -> String {
    let in_turn = |acts: &[Act]| acts.iter().map(play).collect::<Vec<_>>();
    let set = |acts: &[Act]| state(|state| state.child = acts.to_vec());
    match act {
        A(n) => format!("{:?}", a(*n)),
        B(n) => format!("{:?}", b(*n)),
        Text(n) => format!("{:?}", text(*n)),
        Perhaps(n) => format!("{:?}", perhaps(*n)),
        Small(n) => format!("{:?}", small(*n)),
        OrError(n) => format!("{:?}", or_error(*n)),
        F => format!("{:?}", f()),
        Numbered => format!("{:?}", numbered()),
        Sure => format!("{:?}", sure()),
        Sleep => {
            durable::sleep(Duration::ZERO);
            "slept".to_owned()
        }
        Join(first, second) => format!("{:?}", durable::join(|| in_turn(first), || in_turn(second))),
        Map(items) => format!("{:?}", durable::map(items.clone(), 2, a)),
        Child(acts) => {
            set(acts);
            format!("{:?}", inner())
        }
        Other(acts) => {
            set(acts);
            format!("{:?}", other())
        }
        Own(acts) => {
            set(acts);
            format!("{:?}", inner::run_durable("own").unwrap())
        }
    }
}

/// What becomes of the new program.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// Another operation is recorded at a position.
    Operation,
    /// The same build recorded other arguments.
    Arguments,
    /// Nothing is recorded there, and something is later.
    Missing,
    /// What is recorded is not of the type.
    Undecodable,
    /// It comes to what it comes to alone.
    Accepted,
    /// It keeps what the old one made, and comes to this.
    Keeps(&'static [&'static str]),
}
use Verdict::{Accepted, Arguments, Keeps, Missing, Operation, Undecodable};

impl Verdict {
    fn is(self, error: &Error) -> bool {
        match (self, error) {
            (Undecodable, Error::Undecodable { .. }) => true,
            (verdict, Error::Divergence(divergence)) => matches!(
                (verdict, &divergence.difference),
                (Operation, Difference::Operation { .. })
                    | (Arguments, Difference::Arguments)
                    | (Missing, Difference::Missing { .. })
            ),
            _ => false,
        }
    }
}

/// What changed, the old program, the new one, from how many recorded operations on it shows, and what then.
type Change = (&'static str, Vec<Act>, Vec<Act>, usize, Verdict);

fn changes() -> Vec<Change> {
    [changes_of_steps(), changes_of_constructs(), changes_of_types()].concat()
}

fn changes_of_steps() -> Vec<Change> {
    vec![
        ("renamed first", vec![A(1), A(2)], vec![B(1), A(2)], 1, Operation),
        ("renamed in the middle", vec![A(1), A(2), A(3)], vec![A(1), B(2), A(3)], 2, Operation),
        ("renamed last", vec![A(1), A(2)], vec![A(1), B(2)], 2, Operation),
        ("inserted first", vec![A(1), A(2)], vec![B(9), A(1), A(2)], 1, Operation),
        ("inserted, of the same name", vec![A(1), A(2)], vec![A(9), A(1), A(2)], 1, Arguments),
        ("inserted in the middle", vec![A(1), A(2)], vec![A(1), B(9), A(2)], 2, Operation),
        ("lengthened", vec![A(1), B(2)], vec![A(1), B(2), A(3)], 0, Accepted),
        ("removed first", vec![A(1), B(2), A(3)], vec![B(2), A(3)], 1, Operation),
        ("removed in the middle", vec![A(1), B(2), A(3)], vec![A(1), A(3)], 2, Operation),
        ("removed of the same name", vec![A(1), A(2)], vec![A(2)], 1, Arguments),
        ("shortened", vec![A(1), B(2), A(3)], vec![A(1), B(2)], 0, Accepted),
        ("shortened to nothing", vec![A(1)], vec![], 0, Accepted),
        ("reordered", vec![A(1), B(2)], vec![B(2), A(1)], 1, Operation),
        ("reordered, of one name", vec![A(1), A(2)], vec![A(2), A(1)], 1, Arguments),
        ("other arguments", vec![A(1), A(2)], vec![A(1), A(5)], 2, Arguments),
    ]
}

fn changes_of_constructs() -> Vec<Change> {
    let join = |first: &[Act], second: &[Act]| Join(first.to_vec(), second.to_vec());
    vec![
        ("a step made a join", vec![A(1), A(2)], vec![join(&[A(1)], &[B(2)]), A(2)], 1, Operation),
        ("a join made a step", vec![join(&[A(1)], &[B(2)]), A(2)], vec![A(1), A(2)], 1, Operation),
        ("a step made a map", vec![A(1)], vec![Map(vec![1, 2])], 1, Operation),
        ("a map made a step", vec![Map(vec![1, 2])], vec![A(1)], 1, Operation),
        ("a step made a child", vec![A(1)], vec![Child(vec![A(1)])], 1, Operation),
        ("a child made a step", vec![Child(vec![A(1)])], vec![A(1)], 1, Operation),
        ("a step made a run", vec![A(1)], vec![Own(vec![A(1)])], 1, Operation),
        ("a run made a step", vec![Own(vec![A(1)])], vec![A(1)], 1, Operation),
        ("a child made a run", vec![Child(vec![A(1)])], vec![Own(vec![A(1)])], 1, Operation),
        ("a step made a sleep", vec![A(1)], vec![Sleep], 1, Operation),
        ("a sleep made a step", vec![Sleep], vec![A(1)], 1, Operation),
        ("a join made a map", vec![join(&[A(1)], &[A(2)])], vec![Map(vec![1, 2])], 1, Operation),
        ("a map made a join", vec![Map(vec![1, 2])], vec![join(&[A(1)], &[A(2)])], 1, Operation),
        ("a map made a child", vec![Map(vec![1])], vec![Child(vec![A(1)])], 1, Operation),
        ("branches swapped", vec![join(&[A(1)], &[B(2)])], vec![join(&[B(2)], &[A(1)])], 1, Operation),
        (
            "a branch lengthened before what is recorded",
            vec![join(&[A(1)], &[B(2)]), A(3)],
            vec![join(&[A(1), A(9)], &[B(2)]), A(3)],
            2,
            Missing,
        ),
        (
            "a branch shortened",
            vec![join(&[A(1), A(9)], &[B(2)]), A(3)],
            vec![join(&[A(1)], &[B(2)]), A(3)],
            0,
            Accepted,
        ),
        ("items added", vec![Map(vec![1, 2]), A(3)], vec![Map(vec![1, 2, 3]), A(3)], 0, Accepted),
        ("items removed", vec![Map(vec![1, 2]), A(3)], vec![Map(vec![1]), A(3)], 0, Accepted),
        ("items reordered", vec![Map(vec![1, 2])], vec![Map(vec![2, 1])], 1, Arguments),
        ("a child renamed", vec![Child(vec![A(1)])], vec![Other(vec![A(1)])], 1, Operation),
        (
            "a child changed that has ended",
            vec![Child(vec![A(1)]), B(2)],
            vec![Child(vec![B(1)]), B(2)],
            1,
            Keeps(&["[\"11\"]", "22"]),
        ),
    ]
}

fn changes_of_types() -> Vec<Change> {
    vec![
        ("a number made a text", vec![A(1), B(2)], vec![Text(1), B(2)], 1, Undecodable),
        ("a number made an option", vec![A(1), B(2)], vec![Perhaps(1), B(2)], 0, Accepted),
        ("a number made too small", vec![A(100), B(2)], vec![Small(100), B(2)], 1, Undecodable),
        ("a number that fits made small", vec![A(3)], vec![Small(3)], 1, Keeps(&["31"])),
        ("a step that can fail now", vec![A(1), B(2)], vec![OrError(1), B(2)], 0, Accepted),
        (
            "a step that cannot fail any more",
            vec![OrError(1), B(2)],
            vec![A(1), B(2)],
            1,
            Keeps(&["11", "22"]),
        ),
        ("an error of another type", vec![F, B(2)], vec![Numbered, B(2)], 2, Undecodable),
        ("a failure where none can be", vec![F, B(2)], vec![Sure, B(2)], 2, Undecodable),
    ]
}

struct Bench {
    shared: Shared,
    engine: Engine,
}

impl Bench {
    fn new() -> Self {
        let shared = Shared::default();
        let engine = Engine::builder().with(Arc::clone(&shared)).seed(1).in_memory().unwrap();
        Self { shared, engine }
    }

    /// Calls the workflow as this program, and what ran of it.
    fn call(&self, acts: &[Act], stop: Option<usize>) -> (Result<Vec<String>, Error>, Vec<String>) {
        {
            let mut state = self.shared.lock().unwrap();
            *state = State { program: acts.to_vec(), stop, ..State::default() };
        }
        let came = program::durable("p").on(&self.engine).run().map_err(|error| match error {
            RunError::Engine(error) => error,
            RunError::Failed(never) => match never {},
        });
        (came, std::mem::take(&mut self.shared.lock().unwrap().ran))
    }
}

/// What a program comes to on its own.
fn alone(program: &[Act]) -> Vec<String> {
    Bench::new().call(program, None).0.unwrap()
}

#[test]
fn a_changed_program_is_refused_or_means_what_the_rules_say() {
    let (mut refused, mut accepted) = (0, 0);
    let changes = changes();
    for (name, old, new, from, verdict) in &changes {
        for recorded in 0..=old.len() {
            let place = format!("{name}, after {recorded} operations");
            let bench = Bench::new();
            let (stopped, _) = bench.call(old, Some(recorded));
            assert!(matches!(stopped, Err(Error::Panicked { .. })), "{place}: {stopped:?}");
            let mut before = bench.engine.steps("p").unwrap();
            // The panic went through the workflow, so a failure that nothing came after runs again.
            if before.last().is_some_and(|step| step.status == StepStatus::Failed) {
                before.pop();
            }
            let (came, ran) = bench.call(new, None);
            let after = bench.engine.steps("p").unwrap();
            assert!(before.iter().all(|step| after.contains(step)), "{place}: a row has changed");
            let verdict = if recorded < *from { Accepted } else { *verdict };
            let expected: Vec<String> = match verdict {
                Accepted => alone(new),
                Keeps(values) => values.iter().map(|value| (*value).to_owned()).collect(),
                verdict => {
                    let error = came.expect_err(&place);
                    assert!(verdict.is(&error), "{place}: {error}");
                    assert_eq!((after, ran), (before, vec![]), "{place}");
                    let run = bench.engine.run("p").unwrap().unwrap();
                    assert_eq!(run.status, RunStatus::Halted, "{place}");
                    assert_eq!(bench.call(old, None).0.unwrap(), alone(old), "{place}: the old one goes on");
                    refused += 1;
                    continue;
                }
            };
            assert_eq!(came.unwrap(), expected, "{place}");
            let steps = after.len() - before.len();
            assert!(ran.len() <= steps + usize::from(*name == "a step made a run"), "{place}: {ran:?}");
            accepted += 1;
        }
    }
    println!("{} changed programs: {refused} refused, {accepted} accepted, 0 wrong", changes.len());
    let mut tally = Tally::of(Unit::Changes, "changed programs");
    (tally.points, tally.faults) = (refused + accepted, refused);
    tally.finish();
    assert!(changes.len() >= 30);
}

// A field that was added to an argument must not strand every run: another build is warned of, and keeps what
// is recorded. A build is known by its executable, so the row is made another's by hand.
#[test]
fn other_arguments_of_another_build_keep_what_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let _recorder = Recorder::watch(folder.path());
    let path = folder.path().join(DATABASE);
    let shared = Shared::default();
    let engine = Engine::builder().with(Arc::clone(&shared)).open(&path).unwrap();
    let bench = Bench { shared, engine };
    bench.call(&[A(1), B(2)], Some(2)).0.unwrap_err();
    let rows = Connection::open(&path).unwrap();
    assert_eq!(rows.execute("update steps set build = build + 1, checksum = null", []).unwrap(), 2);
    let (came, ran) = bench.call(&[A(5), B(2)], None);
    assert_eq!((came.unwrap(), ran), (vec!["11".to_owned(), "22".to_owned()], vec![]));
}

#[workflow]
fn order(items: u32) -> u32 {
    items
}

#[workflow]
fn refund(items: u32) -> u32 {
    items
}

#[test]
fn another_input_or_another_workflow_under_one_id_is_refused_with_both() {
    let engine = Engine::in_memory().unwrap();
    assert_eq!(order::durable("o", 1).on(&engine).run().unwrap(), 1);
    for error in [
        order::durable("o", 2).on(&engine).run().unwrap_err(),
        refund::durable("o", 1).on(&engine).run().unwrap_err(),
    ] {
        let RunError::Engine(Error::InputMismatch(mismatch)) = error else { panic!("{error}") };
        println!("{mismatch}");
    }
    assert_eq!(order::durable("o", 1).on(&engine).run().unwrap(), 1);
}
