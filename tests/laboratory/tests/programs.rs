//! Random programs against a model (P17): each is struck again and again and called until it ends; then its
//! value and every row must be those that the model tells, and no step has run again that had returned. The
//! seeds take turns: a store whose writes fail, a disk whose operations fail, kills and power cuts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use durable::store::memory::MemoryStore;
use durable::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use durable::{Engine, Error};
use durable_laboratory::{
    Cause, DATABASE, Dice, Disk, Done, Fault, Loss, Node, Note, Recorder, Spell, Tally, Unit, Violation,
    World, builder, check_notes, check_records, expected, materialise, message, notes_of, recorded, seeds,
};

/// So many programs, times the scale.
const PROGRAMS: u64 = 1_000;

/// So many faults one program meets at most.
const FAULTS_MAX: u64 = 6;

/// What a program is struck by.
type Play = fn(&Node, &mut Dice, &mut Tally) -> Result<Vec<Violation>, Error>;

/// Plays one seed, and judges it.
fn judge(seed: u64, play: Play, tally: &mut Tally) {
    let mut dice = Dice::new(seed);
    let program = Node::drawn(&mut dice);
    tally.points += 1;
    let violations = match catch_unwind(AssertUnwindSafe(|| play(&program, &mut dice, tally))) {
        Ok(Ok(violations)) => violations,
        Ok(Err(error)) => vec![Violation::Untyped(error.to_string())],
        Err(panic) => vec![Violation::Panicked(message(&*panic))],
    };
    tally.add(format!("seed {seed}, {program:?}"), violations);
}

/// What must hold of a program that has ended.
fn check(program: &Node, value: u64, engine: &Engine, notes: &[Note]) -> Result<Vec<Violation>, Error> {
    let (expected_value, expected_records) = expected(program);
    let mut violations = check_notes(notes);
    violations.extend(check_records(notes, engine)?);
    for value in [value, program.run(engine)?] {
        if value != expected_value {
            violations.push(Violation::Wrong(expected_value, value));
        }
    }
    let found = recorded(engine)?;
    let keys = expected_records.keys().chain(found.keys());
    let differs = keys.filter(|key| expected_records.get(*key) != found.get(*key)).min();
    violations.extend(differs.map(|key| {
        let (expected, found) = (expected_records.get(key), found.get(key));
        Violation::Unlike(format!("{key:?} is {found:?}, and the model has {expected:?}"))
    }));
    Ok(violations)
}

/// A store that fails at a write now and then: before it, after it, or it lies.
struct Faulty {
    inner: MemoryStore,
    dice: Dice,
    left: u64,
    lies: bool,
}

impl StepStore for Faulty {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        if self.left == 0 || self.dice.below(6) > 0 {
            return self.inner.apply(ops);
        }
        self.left -= 1;
        if self.lies && matches!(ops, [Op::Record(_)]) {
            return Ok(vec![Answer::Done]);
        }
        match self.dice.below(3) {
            0 => Err(StoreError::Unavailable { action: "write".into(), reason: "a test".into() }),
            1 => Err(StoreError::Unknown { reason: "a test".into() }),
            _ => {
                self.inner.apply(ops)?;
                Err(StoreError::Unknown { reason: "a test".into() })
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.inner.reader()
    }

    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }
}

/// Calls a program until no fault stops it; `struck` is told of each.
fn insist(program: &Node, mut engine: Engine, mut struck: impl FnMut(Engine) -> Engine) -> (u64, Engine) {
    loop {
        match program.run(&engine) {
            Ok(value) => return (value, engine),
            Err(Error::Store { .. } | Error::Read(_)) => engine = struck(engine),
            Err(other) => panic!("{other}"),
        }
    }
}

fn on_a_store(
    program: &Node,
    dice: &mut Dice,
    tally: &mut Tally,
    lies: bool,
) -> Result<Vec<Violation>, Error> {
    let store = Faulty {
        inner: MemoryStore::default(),
        dice: Dice::new(dice.roll()),
        left: dice.below(FAULTS_MAX + 1),
        lies,
    };
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::watch(folder.path());
    let engine = builder(World::traced(Vec::new(), &recorder)).store(store)?;
    let (value, engine) = insist(program, engine, |engine| {
        tally.faults += 1;
        recorder.say(Note::Start);
        engine
    });
    check(program, value, &engine, &notes_of(&recorder.trace(), &[]))
}

fn a_store_that_fails(program: &Node, dice: &mut Dice, tally: &mut Tally) -> Result<Vec<Violation>, Error> {
    on_a_store(program, dice, tally, false)
}

/// Opens, however often the disk fails at it.
fn open(path: &Path, recorder: &Recorder, mut struck: impl FnMut()) -> Engine {
    loop {
        let earlier = notes_of(&recorder.trace(), &[]);
        match builder(World::traced(earlier, recorder)).open(path) {
            Ok(engine) => return engine,
            Err(Error::Open(_)) if recorder.struck() > 0 => struck(),
            Err(other) => panic!("{other}"),
        }
    }
}

fn a_disk_that_fails(program: &Node, dice: &mut Dice, tally: &mut Tally) -> Result<Vec<Violation>, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let recorder = Recorder::watch(folder.path());
    let mut left = dice.below(FAULTS_MAX + 1);
    let mut plan = |dice: &mut Dice, reach: u64| {
        recorder.heal();
        if left > 0 {
            left -= 1;
            let done = [Done::Nothing, Done::Half, Done::All][usize::try_from(dice.below(3)).unwrap()];
            let at = recorder.operations() + 1 + dice.below(reach);
            recorder.plan(Fault { at, spell: Spell::Once, cause: Cause::Broken, done });
        }
    };
    plan(dice, 40);
    let mut faults = 0;
    let engine = open(&path, &recorder, || {
        faults += 1;
        plan(dice, 40);
    });
    let (value, engine) = insist(program, engine, |engine| {
        faults += 1;
        plan(dice, 40);
        if dice.coin() {
            recorder.say(Note::Start);
            return engine;
        }
        drop(engine);
        open(&path, &recorder, || {
            faults += 1;
            plan(dice, 40);
        })
    });
    tally.faults += faults;
    recorder.heal();
    check(program, value, &engine, &notes_of(&recorder.trace(), &[]))
}

/// Each process goes on with what the one before left when it was killed, or when the power went.
fn cuts(program: &Node, dice: &mut Dice, tally: &mut Tally) -> Result<Vec<Violation>, Error> {
    let (mut disk, mut earlier) = (Disk::default(), Vec::new());
    for process in 0..=dice.below(FAULTS_MAX / 2) + 1 {
        let folder = tempfile::tempdir().unwrap();
        materialise(&disk.draw(Loss::Nothing, &mut Dice::new(0)), folder.path());
        let recorder = Recorder::watch_on(folder.path(), disk.clone());
        let engine = builder(World::traced(earlier.clone(), &recorder)).open(folder.path().join(DATABASE))?;
        let value = program.run(&engine)?;
        let mut trace = recorder.trace();
        let violations = check(program, value, &engine, &notes_of(&trace, &earlier))?;
        if !violations.is_empty() {
            return Ok(violations);
        }
        tally.images += u64::from(process > 0);
        trace.events.truncate(usize::try_from(dice.below(trace.events.len() as u64 + 1)).unwrap());
        disk = Disk::after(&trace, trace.events.len());
        if dice.coin() {
            let loss = Loss::ALL[usize::try_from(dice.below(4)).unwrap()];
            disk = Disk::holding(disk.draw(loss, dice));
        }
        earlier = notes_of(&trace, &earlier);
    }
    Ok(Vec::new())
}

#[test]
fn a_random_program_ends_as_the_model_tells() {
    let mut tally = Tally::of(Unit::Programs, "random programs against the model");
    for seed in seeds(PROGRAMS) {
        let plays: [Play; 4] = [a_store_that_fails, a_disk_that_fails, a_store_that_fails, cuts];
        judge(seed, plays[usize::try_from(seed % 4).unwrap()], &mut tally);
    }
    tally.finish();
}

// Negative control: a store that says it has recorded what it has not.
#[test]
fn a_store_that_loses_a_row_is_caught_by_the_model() {
    let mut tally = Tally::new("random programs on a store that loses rows");
    for seed in 0..40 {
        judge(seed, |program, dice, tally| on_a_store(program, dice, tally, true), &mut tally);
    }
    tally.must_catch(|violation| matches!(violation, Violation::Unlike(_) | Violation::Lost(..)));
}
