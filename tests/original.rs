//! The eight tests of the original engine, under their names.
//! Each has an engine of its own in memory; what ran is counted in a resource of that engine, never in a
//! static.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use durable::{Engine, RunError, StepFailed, step, workflow};
use serde::{Deserialize, Serialize};

/// What the bodies of steps did, in order.
#[derive(Default, Clone)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(text: impl Into<String>) {
        durable::resource::<Log>().0.lock().unwrap().push(text.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn engine_with_log() -> (Engine, Log) {
    let log = Log::default();
    (Engine::builder().with(log.clone()).in_memory().unwrap(), log)
}

fn keys(engine: &Engine, id: &str) -> Vec<String> {
    engine.steps(id).unwrap().iter().map(|step| step.key().to_string()).collect()
}

#[step]
fn greet(name: &str) -> String {
    Log::note(format!("greet {name}"));
    format!("hello {name}")
}

#[workflow]
fn greeting(name: String) -> String {
    greet(&name)
}

#[test]
fn basic_step_execution() {
    let (engine, log) = engine_with_log();
    assert_eq!(greeting::durable("greeting", "ada".into()).on(&engine).run().unwrap(), "hello ada");
    assert_eq!(log.lines(), ["greet ada"]);
    assert_eq!(keys(&engine, "greeting"), ["greet_0"]);
    assert_eq!(engine.steps("greeting").unwrap()[0].output, "\"hello ada\"");
}

#[test]
fn step_memoization() {
    let (engine, log) = engine_with_log();
    for _ in 0..3 {
        assert_eq!(greeting::durable("again", "ada".into()).on(&engine).run().unwrap(), "hello ada");
    }
    assert_eq!(log.lines(), ["greet ada"], "a recorded step runs once");
}

/// How often the network of [`unreliable`] is still down.
struct Network(AtomicU32);

#[step]
fn unreliable() -> Result<u32, String> {
    Log::note("unreliable");
    let network = durable::resource::<Network>();
    if network.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |down| down.checked_sub(1)).is_ok() {
        return Err("the network is down".into());
    }
    Ok(7)
}

#[workflow]
fn resuming() -> Result<String, String> {
    let first = greet("first");
    let number = unreliable()?;
    Ok(format!("{first}, {number}"))
}

#[test]
fn workflow_resume_after_failure() {
    let log = Log::default();
    let engine = Engine::builder().with(log.clone()).with(Network(AtomicU32::new(1))).in_memory().unwrap();
    let failed = resuming::durable("resuming").on(&engine).run();
    assert!(matches!(failed, Err(RunError::Failed(error)) if error == "the network is down"));
    assert_eq!(resuming::durable("resuming").on(&engine).run().unwrap(), "hello first, 7");
    assert_eq!(
        log.lines(),
        ["greet first", "unreliable", "unreliable"],
        "what succeeded stays, what failed runs again"
    );
}

#[step]
fn meet(name: &str) -> String {
    // Both branches are inside their steps at this point, or neither would get past it.
    durable::resource::<Barrier>().wait();
    format!("{name} was there")
}

#[workflow]
fn meeting() -> (String, String) {
    durable::join(|| meet("ada"), || meet("grace"))
}

#[test]
fn parallel_execution() {
    let engine = Engine::builder().with(Barrier::new(2)).in_memory().unwrap();
    let both = meeting::durable("meeting").on(&engine).run().unwrap();
    assert_eq!(both, ("ada was there".into(), "grace was there".into()));
    assert_eq!(keys(&engine, "meeting"), ["meet_0.0.0", "meet_0.1.0"]);
}

#[step]
fn process(item: u32) -> u32 {
    Log::note(format!("process {item}"));
    item * 10
}

#[workflow]
fn looping(items: Vec<u32>) -> Vec<u32> {
    items.into_iter().map(process).collect()
}

#[test]
fn sequence_tracking_in_loops() {
    let (engine, log) = engine_with_log();
    let run = || looping::durable("loop", vec![1, 1, 2]).on(&engine).run().unwrap();
    assert_eq!(run(), [10, 10, 20]);
    assert_eq!(run(), [10, 10, 20]);
    assert_eq!(keys(&engine, "loop"), ["process_0", "process_1", "process_2"]);
    assert_eq!(log.lines().len(), 3, "each turn of the loop is a step of its own, and runs once");
}

#[test]
fn workflow_reset() {
    let (engine, log) = engine_with_log();
    let run = || greeting::durable("reset", "ada".into()).on(&engine).run().unwrap();
    run();
    assert!(engine.reset("reset").unwrap());
    assert!(engine.run("reset").unwrap().is_none());
    assert!(keys(&engine, "reset").is_empty());
    assert!(!engine.reset("reset").unwrap(), "there is nothing left to forget");
    run();
    assert_eq!(log.lines(), ["greet ada", "greet ada"], "after a reset everything runs again");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Employee {
    id: u64,
    name: String,
    salary: f64,
    manager: Option<Box<Employee>>,
}

fn employee() -> Employee {
    let manager = Employee { id: 1, name: "ada".into(), salary: 0.1 + 0.2, manager: None };
    Employee { id: 2, name: "grace".into(), salary: -0.0, manager: Some(Box::new(manager)) }
}

#[step]
fn a_number() -> i128 {
    i128::MIN
}

#[step]
fn a_text() -> String {
    "naïve ☃ \" \0".into()
}

#[step]
fn nothing() {}

#[step]
fn a_struct() -> Employee {
    employee()
}

#[step]
fn a_list() -> Vec<Option<bool>> {
    vec![None, Some(true)]
}

#[step]
fn a_result() -> Result<char, StepFailed> {
    Ok('x')
}

type Everything = (i128, String, (), Employee, Vec<Option<bool>>, char);

#[workflow]
fn types() -> Result<Everything, StepFailed> {
    Ok((a_number(), a_text(), nothing(), a_struct(), a_list(), a_result()?))
}

#[test]
fn different_return_types() {
    let engine = Engine::in_memory().unwrap();
    let expected = (i128::MIN, "naïve ☃ \" \0".into(), (), employee(), vec![None, Some(true)], 'x');
    for _ in 0..2 {
        let returned = types::durable("types").on(&engine).run().unwrap();
        assert_eq!(returned, expected);
        assert_eq!(returned.3.salary.to_bits(), (-0.0_f64).to_bits());
    }
}

#[step]
fn good_branch() -> Result<u32, String> {
    Log::note("good");
    Ok(1)
}

#[step]
fn bad_branch() -> Result<u32, String> {
    Log::note("bad");
    Err("the branch failed".into())
}

#[workflow]
fn branches() -> Result<u32, String> {
    let (bad, good) = durable::join(bad_branch, good_branch);
    Ok(bad? + good?)
}

#[test]
fn error_propagation_in_parallel() {
    let (engine, log) = engine_with_log();
    for runs in 1..=2 {
        let failed = branches::durable("branches").on(&engine).run();
        assert!(matches!(failed, Err(RunError::Failed(error)) if error == "the branch failed"));
        let count = |what: &str| log.lines().iter().filter(|line| *line == what).count();
        assert_eq!((count("good"), count("bad")), (1, runs), "the other branch ended and was recorded");
    }
}
