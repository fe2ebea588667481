//! The same work as workflows.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable::{Durability, Engine, step, workflow};

use crate::machine::{Cost, cost_of, resident};

pub(crate) const FILE: &str = "bench.db";

/// What each step returns, as it is stored.
pub(crate) const OUTPUT: &str = "\"a value of some length, as steps return\"";

fn value() -> String {
    OUTPUT.trim_matches('"').to_owned()
}

#[step]
fn work(_number: u32) -> String {
    value()
}

#[step]
async fn work_async(_number: u32) -> String {
    value()
}

#[workflow]
fn steps(count: u32) -> u32 {
    (0..count).map(|number| u32::from(!work(number).is_empty())).sum()
}

#[workflow]
async fn steps_async(count: u32) -> u32 {
    let mut done = 0;
    for number in 0..count {
        done += u32::from(!work_async(number).await.is_empty());
    }
    done
}

#[workflow]
async fn at_once(count: u32) -> usize {
    durable::future::join_all((0..count).map(work_async)).await.len()
}

/// Whether the workflow below is interrupted before its last step.
static STOPS: AtomicBool = AtomicBool::new(false);

#[step]
fn last() {
    println!("resumed");
    // The parent kills this process now, so that this step never ends.
    loop {
        std::thread::park();
    }
}

#[step]
fn fill(_number: u32, bytes: usize) -> String {
    "x".repeat(bytes)
}

#[workflow]
fn stops_at_its_end(count: u32, bytes: usize) {
    for number in 0..count {
        fill(number, bytes);
    }
    if STOPS.load(Ordering::Relaxed) {
        // A fault that would not come again: the run is interrupted, without a panic's message on the screen.
        durable::resource::<AtomicBool>();
    }
    last();
}

#[workflow]
async fn sleeps() {
    durable::future::sleep(Duration::from_hours(24)).await;
}

fn open(folder: &Path, durability: Durability) -> Engine {
    Engine::builder().durability(durability).open(folder.join(FILE)).unwrap()
}

pub(crate) fn sequential(folder: &Path, warm: u32, count: u32, durability: Durability) -> Cost {
    let engine = open(folder, durability);
    steps::durable("warm", warm).on(&engine).run().unwrap();
    cost_of(|| assert_eq!(steps::durable("run", count).on(&engine).run().unwrap(), count))
}

pub(crate) fn futures(folder: &Path, callers: u32, count: u32) -> Cost {
    let engine = open(folder, Durability::Extra);
    cost_of(|| run_at_once(&engine, callers, callers, count))
}

/// Runs `runs` workflows of `count` steps on one thread, at most `callers` at once.
fn run_at_once(engine: &Engine, runs: u32, callers: u32, count: u32) {
    let next = std::cell::Cell::new(0);
    let next = &next;
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            executor.spawn(async move {
                while next.get() < runs {
                    let run = next.replace(next.get() + 1);
                    let done = steps_async::durable(format!("run {run}"), count).on(engine).run().await;
                    assert_eq!(done.unwrap(), count);
                }
            })
        })
        .collect();
    smol::block_on(executor.run(async {
        for task in tasks {
            task.await;
        }
    }));
}

pub(crate) fn threads(folder: &Path, callers: u32, count: u32) -> Cost {
    let engine = open(folder, Durability::Extra);
    cost_of(|| {
        std::thread::scope(|scope| {
            for caller in 0..callers {
                let engine = &engine;
                scope.spawn(move || {
                    let done = steps::durable(format!("run {caller}"), count).on(engine).run();
                    assert_eq!(done.unwrap(), count);
                });
            }
        });
    })
}

pub(crate) fn short(folder: &Path, runs: u32, callers: u32) -> Cost {
    let engine = open(folder, Durability::Extra);
    cost_of(|| run_at_once(&engine, runs, callers, 3))
}

pub(crate) fn parallel(folder: &Path, count: u32) -> Cost {
    let engine = open(folder, Durability::Extra);
    cost_of(|| {
        let done = smol::block_on(at_once::durable("run", count).on(&engine).run());
        assert_eq!(done.unwrap(), count as usize);
    })
}

/// Records a run of `count` steps with values of so many bytes, which is interrupted after the last one.
pub(crate) fn record(folder: &Path, count: u32, bytes: usize) {
    let engine = open(folder, Durability::Off);
    STOPS.store(true, Ordering::Relaxed);
    stops_at_its_end::durable("run", count, bytes).on(&engine).run().unwrap_err();
}

pub(crate) fn replay(folder: &Path) -> Cost {
    let engine = open(folder, Durability::Off);
    STOPS.store(true, Ordering::Relaxed);
    let _entered = engine.enter();
    cost_of(|| drop(stops_at_its_end::resume("run").unwrap_err()))
}

/// The most memory that a process of its own takes to replay that run.
pub(crate) fn replay_peak(folder: &Path) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.arg("--replay").arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Leaves a run as a killed process leaves it: owned by an owner that is dead.
pub(crate) fn interrupt(folder: &Path) {
    record(folder, 100, OUTPUT.len() - 2);
}

/// Starts this program once more, to go on with that run, and waits for its first new step.
pub(crate) fn spawn_resume(folder: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.arg("--resume").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    assert!(stdout.lines().any(|line| line.unwrap() == "resumed"));
    child.kill().unwrap();
    child.wait().unwrap();
}

pub(crate) fn resume(folder: &Path) {
    let engine = open(folder, Durability::Extra);
    stops_at_its_end::durable("run", 100, OUTPUT.len() - 2).on(&engine).run().unwrap();
}

/// Bytes of memory for each of `runs` runs that sleep.
pub(crate) fn sleeping(runs: u32) -> u64 {
    let folder = tempfile::tempdir_in(".").unwrap();
    let engine = open(folder.path(), Durability::Off);
    let before = resident();
    let mut sleeping: Vec<_> =
        (0..runs).map(|run| sleeps::durable(format!("sleeper {run}")).on(&engine).run()).collect();
    let asleep = || sleeping_count(&engine);
    while asleep() < runs as usize {
        for run in &mut sleeping {
            assert!(smol::block_on(smol::future::poll_once(run)).is_none());
        }
    }
    (resident() - before) / u64::from(runs)
}

fn sleeping_count(engine: &Engine) -> usize {
    engine
        .runs()
        .filter(|run| engine.steps(&run.as_ref().unwrap().id).is_ok_and(|steps| !steps.is_empty()))
        .count()
}
