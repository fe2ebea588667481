//! The five workloads whose promises are tested: steps in turn, a loop of 200, threads in parallel, futures
//! at once, and nested children with failures that are handled, escape and are retried.
//! Each step returns the ticket of the execution that made it, so a value that was recorded twice, lost or
//! taken from another execution shows; the results rest on the values alone, so they are the same in every
//! run.

use durable::store::Durability;
use durable::{Engine, RunError, TestClock, step, workflow};
use serde::{Deserialize, Serialize};

use crate::notes::World;

/// The id that every workload runs under.
pub const ID: &str = "run";

/// What a step returns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Made {
    name: String,
    value: u64,
    ticket: u64,
}

/// What a step fails with.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{name} was refused")]
pub struct Refused {
    name: String,
    ticket: u64,
}

/// What the names of steps begin with whose bodies may run more than once in a process: they are retried, or
/// their failure escapes.
pub const AGAIN: &str = "again-";

/// The value that the step of this name makes.
pub(crate) fn value_of(name: &str) -> u64 {
    name.bytes().map(u64::from).sum()
}

pub(crate) fn make(name: &str) -> Made {
    let ticket = durable::resource::<World>().effect(name);
    Made { name: name.to_owned(), value: value_of(name), ticket }
}

pub(crate) fn refuse(name: &str) -> Refused {
    Refused { name: name.to_owned(), ticket: durable::resource::<World>().effect(name) }
}

/// Fails until its body has run more often than `failures`, in whatever process.
pub(crate) fn make_after(name: &str, failures: usize) -> Result<Made, Refused> {
    if durable::resource::<World>().effects_of(name) < failures { Err(refuse(name)) } else { Ok(make(name)) }
}

/// The step has returned to the workflow.
pub(crate) fn returned(made: &Made) -> u64 {
    durable::resource::<World>().acknowledged(&made.name, made.ticket);
    made.value
}

#[step]
fn plain(name: &str) -> Made {
    make(name)
}

#[step]
async fn polled(name: &str) -> Made {
    smol::future::yield_now().await;
    make(name)
}

#[step]
fn refused(name: &str) -> Result<Made, Refused> {
    Err(refuse(name))
}

#[step]
fn escaping(name: &str, failures: usize) -> Result<Made, Refused> {
    make_after(name, failures)
}

#[step(retries = 3, backoff = "1ms")]
fn retried(name: &str, failures: usize) -> Result<Made, Refused> {
    make_after(name, failures)
}

fn run(name: &str) -> u64 {
    returned(&plain(name))
}

async fn run_polled(name: &str) -> u64 {
    returned(&polled(name).await)
}

/// Takes another way after a failure.
fn handle(name: &str) -> u64 {
    match refused(name) {
        Ok(made) => returned(&made),
        Err(refused) => {
            durable::resource::<World>().acknowledged(&refused.name, refused.ticket);
            run(&format!("instead-of-{name}"))
        }
    }
}

#[workflow]
fn sequential() -> u64 {
    (0..20).map(|i| run(&format!("step{i}")) * (i + 1)).sum()
}

#[workflow]
fn looping() -> u64 {
    (0..200).map(|i| run(&format!("turn{i}")) * (i + 1)).sum()
}

#[workflow]
fn parallel() -> u64 {
    let (a, b) = durable::join(|| run("a1") + run("a2") + handle("a3"), || run("b1") + run("b2"));
    let mapped = durable::map(0..6_u64, 2, |i| run(&format!("m{i}")) * (i + 1));
    a * 3 + b + mapped.iter().sum::<u64>() + run("end")
}

#[workflow]
async fn concurrent() -> u64 {
    let one = async { run_polled("x1").await + run_polled("x2").await * 3 };
    let two = async { run_polled("y1").await + run_polled("y2").await * 5 };
    let (one, two, three) = durable::join!(one, two, run_polled("z"));
    one + two * 7 + three * 11 + run_polled("end").await
}

#[workflow]
fn child(name: String, failures: usize) -> Result<u64, Refused> {
    let first = run(&format!("{name}-first")) + handle(&format!("{name}-handled"));
    let again = returned(&escaping(&format!("{AGAIN}{name}"), failures)?);
    Ok(first + again + returned(&retried(&format!("{AGAIN}{name}-retried"), 2)?))
}

/// Its failure is recorded as its result.
#[workflow]
fn failing_child(name: String) -> Result<u64, Refused> {
    run(&format!("{name}-first"));
    Ok(returned(&refused(&format!("{name}-fails"))?))
}

#[workflow]
fn nested() -> Result<u64, Refused> {
    let inline = child("inline".to_owned(), 1)?;
    let handled = failing_child("lost".to_owned()).unwrap_or_else(|refused| {
        durable::resource::<World>().acknowledged(&refused.name, refused.ticket);
        run("instead-of-child")
    });
    let own = match child::run_durable("own", "own".to_owned(), 2) {
        Ok(value) => value,
        Err(RunError::Failed(refused)) => return Err(refused),
        // A fault ends this run before it comes here.
        Err(RunError::Engine(_)) => 0,
    };
    Ok(inline + handled * 3 + own * 5 + run("end"))
}

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// 20 steps in turn.
    Sequential,
    /// A loop of 200 steps.
    Looping,
    /// `join` and `map` on threads.
    Parallel,
    /// `join!` of futures.
    Concurrent,
    /// Inline children and one with a run of its own; failures handled, escaped and retried.
    Nested,
}

/// So often a run that failed is called again: more than all failures of a workload that escape.
const CALLS_MAX: usize = 8;

impl Workload {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Sequential, Self::Looping, Self::Parallel, Self::Concurrent, Self::Nested];

    /// The name that [`Workload::named`] knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Looping => "loop of 200",
            Self::Parallel => "parallel",
            Self::Concurrent => "concurrent",
            Self::Nested => "nested",
        }
    }

    /// The workload of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// Calls its entry point once.
    fn call(self, engine: &Engine) -> Result<u64, RunError<Refused>> {
        let sure = |error: RunError<std::convert::Infallible>| match error {
            RunError::Engine(error) => RunError::Engine(error),
            RunError::Failed(never) => match never {},
        };
        match self {
            Self::Sequential => sequential::durable(ID).on(engine).run().map_err(sure),
            Self::Looping => looping::durable(ID).on(engine).run().map_err(sure),
            Self::Parallel => parallel::durable(ID).on(engine).run().map_err(sure),
            Self::Concurrent => smol::block_on(concurrent::durable(ID).on(engine).run()).map_err(sure),
            Self::Nested => nested::durable(ID).on(engine).run(),
        }
    }

    /// Calls it until its failures are over: its result, or the fault that stopped it.
    pub fn run(self, engine: &Engine) -> Result<u64, durable::Error> {
        for _ in 0..CALLS_MAX {
            match self.call(engine) {
                Ok(value) => return Ok(value),
                Err(RunError::Failed(_)) => {}
                Err(RunError::Engine(error)) => return Err(error),
            }
        }
        panic!("{} failed {CALLS_MAX} times", self.name());
    }

    /// What it returns when nothing goes wrong.
    pub fn expected(self) -> u64 {
        let engine = builder(World::default()).in_memory().unwrap();
        self.run(&engine).unwrap()
    }
}

/// What a commit may wait for, by the names that processes are told.
pub const DURABILITIES: [(&str, Durability); 4] = [
    ("extra", Durability::Extra),
    ("full", Durability::Full),
    ("normal", Durability::Normal),
    ("off", Durability::Off),
];

/// The durability of this name.
pub fn durability(name: &str) -> Option<Durability> {
    DURABILITIES.iter().find(|(other, _)| *other == name).map(|(_, durability)| *durability)
}

/// An engine's settings for a workload in this world: nobody waits, and the dice are the same in every run.
pub fn builder(world: World) -> durable::Builder {
    Engine::builder().with(world).clock(TestClock::default()).seed(1)
}
