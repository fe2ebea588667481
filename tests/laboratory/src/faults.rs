//! One fault of the disk in the life of a process: the call that meets it, calls while it lasts, calls once it
//! is gone, and the next process. What may be said on the way, and what must hold at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use durable::store::StoreError;
use durable::{Engine, Error};

use crate::checker::{Violation, check_records};
use crate::notes::{Note, World};
use crate::recorder::{Cause, Fault, Recorder, Trace};
use crate::trial::{DATABASE, Trial, message, notes_of};
use crate::workloads::{ID, builder};

/// So often the workload is called while a fault lasts.
const CALLS_UNDER_FAULT: u32 = 2;

/// What a fault did.
#[derive(Debug)]
pub struct Struck {
    /// After so many events; `None` if the process ended before it.
    pub after: Option<usize>,
    /// Calls that ended with a typed fault.
    pub faults: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// All that was done to the files.
    pub trace: Trace,
}

/// Runs a workload in a process whose disk has this fault; then the fault is gone, and it goes on.
pub fn strike(trial: Trial, fault: Fault) -> Struck {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let recorder = Recorder::watch(folder.path());
    recorder.plan(fault);
    let mut life = Life { trial, recorder: &recorder, cause: fault.cause, faults: 0, violations: Vec::new() };

    let engine = life.survive(|| builder(World::traced(Vec::new(), &recorder)).open(&path));
    if let Some(engine) = &engine {
        for _ in 0..CALLS_UNDER_FAULT {
            if life.survive(|| trial.workload.run(engine)).is_some() {
                break;
            }
            life.read(engine);
            recorder.say(Note::Start);
        }
    }
    recorder.heal();
    life.go_on(engine, &path);
    // What the next process finds.
    life.go_on(None, &path);
    let Life { faults, violations, .. } = life;
    Struck { after: recorder.struck_after(), faults, violations, trace: recorder.trace() }
}

/// A process, and what is held against it.
struct Life<'r> {
    trial: Trial,
    recorder: &'r Recorder,
    cause: Cause,
    faults: u64,
    violations: Vec<Violation>,
}

impl Life<'_> {
    /// Makes a call that a fault may end: with a typed error that fits it, and with nothing else.
    fn survive<T>(&mut self, call: impl FnOnce() -> Result<T, Error>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) if self.recorder.struck() > 0 && is_of_the_disk(&error) => self.faults += 1,
            Ok(Err(error)) => self.violations.push(Violation::Untyped(error.to_string())),
            Err(panic) => self.violations.push(Violation::Panicked(message(&*panic))),
        }
        None
    }

    /// A full disk holds up no reader.
    fn read(&mut self, engine: &Engine) {
        let read = engine.run(ID).and_then(|_| check_records(&notes_of(&self.recorder.trace(), &[]), engine));
        match read {
            Ok(violations) => self.violations.extend(violations),
            Err(_) if self.cause == Cause::Broken => {}
            Err(error) => self.violations.push(Violation::Untyped(error.to_string())),
        }
    }

    /// Goes on without a fault, on this engine or a new one, and judges all that was noted.
    fn go_on(&mut self, engine: Option<Engine>, path: &std::path::Path) {
        let (trial, recorder) = (self.trial, self.recorder);
        let violations = trial.judge(|| {
            let engine = if let Some(engine) = engine {
                engine
            } else {
                let earlier = notes_of(&recorder.trace(), &[]);
                builder(World::traced(earlier, recorder)).open(path)?
            };
            let result = trial.workload.run(&engine)?;
            trial.check(&engine, result, &notes_of(&recorder.trace(), &[]))
        });
        self.violations.extend(violations);
    }
}

/// Whether an error says that the disk did not do what it should, and nothing more.
fn is_of_the_disk(error: &Error) -> bool {
    let is_of_the_store =
        |error: &StoreError| matches!(error, StoreError::Unavailable { .. } | StoreError::Unknown { .. });
    match error {
        Error::Open(error) => matches!(**error, durable::store::OpenError::Failed { .. }),
        Error::Read(source) | Error::Store { source, .. } => is_of_the_store(source),
        _ => false,
    }
}
