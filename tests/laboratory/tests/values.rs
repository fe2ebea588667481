//! Values of every shape that serde has (P11), a random type and a random value of it for each seed: floats of any
//! bits, integers at their ends, letters of all planes, odd names, options in options, maps with any keys, chains of
//! more levels than can be stored. As the value of a step, as its error, and as a workflow's argument and result, each
//! is refused by a typed error before anything is recorded, or is given back bit for bit, live and on replay.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use durable::store::{Durability, RunStatus};
use durable::{Engine, Error, RunError, step, workflow};
use durable_laboratory::{DATABASE, Dice, Odd, Shaped, Tally, Unit, Violation, message, seeds};
use tempfile::TempDir;

/// So many values, times the scale.
const VALUES: u64 = 10_000;

/// So many of them share a database.
const VALUES_IN_TURN: u64 = 500;

/// What the steps of the current run make, and what the workflow saw each time it ran.
#[derive(Default)]
struct Bench(Mutex<(Option<Shaped>, Vec<Odd>)>);

/// What the current step makes.
fn made() -> Shaped {
    durable::resource::<Bench>().0.lock().unwrap().0.clone().unwrap()
}

/// The workflow has been given this; the first time it is interrupted there.
fn see(value: &Shaped) {
    let first = {
        let bench = durable::resource::<Bench>();
        let mut table = bench.0.lock().unwrap();
        table.1.push(value.value.clone());
        table.1.len() == 1
    };
    if first {
        resume_unwind(Box::new("interrupted"));
    }
}

#[step]
fn give() -> Shaped {
    made()
}

#[step]
fn fail() -> Result<u8, Shaped> {
    Err(made())
}

#[workflow]
fn with_a_value() -> u8 {
    see(&give());
    1
}

#[workflow]
fn with_an_error() -> u8 {
    if let Err(error) = fail() {
        see(&error);
    }
    1
}

#[workflow]
fn with_an_argument(given: Shaped) -> Shaped {
    see(&given);
    given
}

type Outcome = Result<Option<Shaped>, Error>;

fn run(engine: &Engine, id: &str, way: u64, value: &Shaped) -> Outcome {
    let engine_fault = |error: RunError<std::convert::Infallible>| match error {
        RunError::Engine(error) => error,
        RunError::Failed(never) => match never {},
    };
    match way {
        0 => with_a_value::durable(id).on(engine).run().map(|_| None).map_err(engine_fault),
        1 => with_an_error::durable(id).on(engine).run().map(|_| None).map_err(engine_fault),
        _ => with_an_argument::durable(id, value.clone()).on(engine).run().map(Some).map_err(engine_fault),
    }
}

/// A database for some values.
struct Table {
    engine: Engine,
    _folder: TempDir,
}

impl Table {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Nothing is cut here, so nothing is waited for.
        let builder = Engine::builder().with(Bench::default()).durability(Durability::Off);
        Self { engine: builder.open(folder.path().join(DATABASE)).unwrap(), _folder: folder }
    }

    fn bench<T>(&self, act: impl FnOnce(&mut (Option<Shaped>, Vec<Odd>)) -> T) -> T {
        let _current = self.engine.enter();
        act(&mut durable::resource::<Bench>().0.lock().unwrap())
    }
}

/// Whether a value was stored; or what is wrong.
fn judge(table: &Table, id: &str, way: u64, value: &Shaped) -> Result<bool, String> {
    table.bench(|bench| *bench = (Some(value.clone()), Vec::new()));
    match run(&table.engine, id, way, value) {
        Err(Error::Panicked { .. }) => {}
        Err(Error::Unstorable { .. } | Error::UnstorableInput { .. }) => {
            return nothing_is_recorded(table, id, way).map(|()| false);
        }
        other => return Err(format!("it came to {other:?}")),
    }
    let again =
        run(&table.engine, id, way, value).map_err(|error| format!("replayed, it came to {error}"))?;
    let third =
        run(&table.engine, id, way, value).map_err(|error| format!("called again, it came to {error}"))?;
    let seen = table.bench(|bench| bench.1.clone());
    if seen != [value.value.clone(), value.value.clone()] {
        return Err(format!("it was seen as {seen:?}"));
    }
    match [again, third].into_iter().flatten().find(|result| result.value != value.value) {
        Some(result) => Err(format!("it was returned as {:?}", result.value)),
        None => Ok(true),
    }
}

fn nothing_is_recorded(table: &Table, id: &str, way: u64) -> Result<(), String> {
    let status = table.engine.run(id).unwrap().map(|run| run.status);
    let steps = table.engine.steps(id).map_or(0, |steps| steps.len());
    let seen = table.bench(|bench| bench.1.len());
    let expected = (way < 2).then_some(RunStatus::Halted);
    if (status, steps, seen) == (expected, 0, 0) {
        return Ok(());
    }
    Err(format!("it was refused, the run is {status:?} with {steps} steps, and it was seen {seen} times"))
}

#[test]
fn a_value_of_any_shape_is_refused_or_comes_back_bit_for_bit() {
    let mut tally = Tally::of(Unit::Values, "values of any shape");
    let (mut stored, mut table) = (0, Table::new());
    for seed in seeds(VALUES) {
        if seed % VALUES_IN_TURN == 0 {
            table = Table::new();
        }
        let value = Shaped::drawn(&mut Dice::new(seed));
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&table, &seed.to_string(), seed % 3, &value)));
        tally.points += 1;
        let violation = match judged {
            Ok(Ok(was_stored)) => {
                stored += u64::from(was_stored);
                tally.faults += u64::from(!was_stored);
                let refused_for_nothing = !was_stored && value.shape.is_plain();
                refused_for_nothing.then(|| Violation::Unlike("it was refused, and JSON can hold it".into()))
            }
            Ok(Err(wrong)) => Some(Violation::Unlike(wrong)),
            Err(panic) => Some(Violation::Panicked(message(&*panic))),
        };
        tally.add(format!("seed {seed}, {value:?}"), violation.into_iter().collect());
    }
    println!("{}: {stored} stored and given back, {} refused", tally.name, tally.faults);
    tally.finish();
}

// Negative control: JSON alone gives back some values as others, and says nothing.
#[test]
fn json_alone_changes_values_and_is_caught() {
    let mut tally = Tally::of(Unit::Values, "values of any shape through JSON alone");
    for seed in 0..VALUES {
        let value = Shaped::drawn(&mut Dice::new(seed));
        let text = serde_json::to_string(&value);
        let found = text.and_then(|text| serde_json::from_str::<Shaped>(&text));
        tally.points += 1;
        if let Some(found) = found.ok().filter(|found| *found != value) {
            let changed = Violation::Unlike(format!("it came back as {:?}", found.value));
            tally.add(format!("seed {seed}, {:?}", value.value), vec![changed]);
        }
    }
    tally.must_catch(|violation| matches!(violation, Violation::Unlike(_)));
}
