//! One fault of the disk in the life of a process: the call that meets it, calls while it lasts, calls once it
//! is gone, and the next process. What may be said on the way, and what must hold at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

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
    /// After so many events; `None` if the process ended before it, or the fault was not the recorder's.
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
    let recorder = Recorder::watch(folder.path());
    recorder.plan(fault);
    let life = Life::new(trial, &recorder, Some(fault.cause));
    life.live(folder.path(), || recorder.heal())
}

/// The same on a real medium that is full, where no file system of ours stands in between; `make_room` gives it
/// space again.
pub fn cram(trial: Trial, folder: &Path, make_room: impl FnOnce()) -> Struck {
    // What is noted is kept on another medium, by a recorder that sees no file.
    let elsewhere = tempfile::tempdir().unwrap();
    let recorder = Recorder::watch(elsewhere.path());
    let life = Life::new(trial, &recorder, None);
    life.live(folder, make_room)
}

/// A process, and what is held against it.
struct Life<'r> {
    trial: Trial,
    recorder: &'r Recorder,
    /// What the recorder makes go wrong; `None` if the medium itself does, at times of its own.
    cause: Option<Cause>,
    faults: u64,
    violations: Vec<Violation>,
}

impl<'r> Life<'r> {
    fn new(trial: Trial, recorder: &'r Recorder, cause: Option<Cause>) -> Self {
        Self { trial, recorder, cause, faults: 0, violations: Vec::new() }
    }

    /// Meets the fault, goes on once `heal` has taken it away, and is followed by the next process.
    fn live(mut self, folder: &Path, heal: impl FnOnce()) -> Struck {
        let (trial, recorder, path) = (self.trial, self.recorder, folder.join(DATABASE));
        let engine = self.survive(|| builder(World::traced(Vec::new(), recorder)).open(&path));
        if let Some(engine) = &engine {
            for _ in 0..CALLS_UNDER_FAULT {
                if self.survive(|| trial.workload.run(engine)).is_some() {
                    break;
                }
                self.read(engine);
                recorder.say(Note::Start);
            }
        }
        heal();
        self.go_on(engine, &path);
        // What the next process finds.
        self.go_on(None, &path);
        let Self { faults, violations, .. } = self;
        Struck { after: recorder.struck_after(), faults, violations, trace: recorder.trace() }
    }

    fn is_struck(&self) -> bool {
        self.cause.is_none() || self.recorder.struck() > 0
    }

    /// Makes a call that a fault may end: with a typed error that fits it, and with nothing else.
    fn survive<T>(&mut self, call: impl FnOnce() -> Result<T, Error>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) if self.is_struck() && is_of_the_disk(&error) => self.faults += 1,
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
            Err(_) if self.cause == Some(Cause::Broken) => {}
            Err(error) => self.violations.push(Violation::Untyped(error.to_string())),
        }
    }

    /// Goes on without a fault, on this engine or a new one, and judges all that was noted.
    fn go_on(&mut self, engine: Option<Engine>, path: &Path) {
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
