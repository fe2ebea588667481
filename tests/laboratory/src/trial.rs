//! One workload put on trial: recorded, cut, recovered, judged. Everything that a sweep does to one case.
//! The one rule: whatever happens in a trial ends as a violation with its evidence, a panic included, so that
//! a sweep goes on and counts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use durable::Engine;

use crate::checker::{Violation, check_notes, check_records};
use crate::dice::Dice;
use crate::image::{Disk, Image, Loss, materialise};
use crate::notes::{Note, World};
use crate::recorder::{Event, Recorder, Trace};
use crate::workloads::{Workload, builder};

/// The name of every database.
pub const DATABASE: &str = "runs.db";

/// A workload, and the result that it must come to.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// Which.
    pub workload: Workload,
    /// What it returns undisturbed.
    pub expected: u64,
}

/// What a recovery came to.
#[derive(Debug)]
pub struct Recovery {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// All that was done to the files on the way, and noted.
    pub trace: Trace,
}

impl Trial {
    /// Of this workload.
    pub fn of(workload: Workload) -> Self {
        Self { workload, expected: workload.expected() }
    }

    /// The trace of an undisturbed run in a new database, until it is closed.
    pub fn record(&self) -> Trace {
        self.record_on(|world, path| builder(world).open(path))
    }

    /// The same with an engine of one's own.
    pub fn record_on(
        &self,
        open: impl FnOnce(World, std::path::PathBuf) -> Result<Engine, durable::Error>,
    ) -> Trace {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::watch(folder.path());
        let engine = open(World::traced(Vec::new(), &recorder), folder.path().join(DATABASE)).unwrap();
        assert_eq!(self.workload.run(&engine).unwrap(), self.expected);
        drop(engine);
        recorder.trace()
    }

    /// Opens an image as the process does that comes after the power cut, and finishes the run.
    pub fn recover(&self, image: &Image, earlier: &[Note]) -> Recovery {
        self.resume(Disk::holding(image.clone()), earlier)
    }

    /// Goes on where a process was killed that left this disk: what was pending then still is.
    pub fn resume(&self, disk: Disk, earlier: &[Note]) -> Recovery {
        let folder = tempfile::tempdir().unwrap();
        // Without a power cut nothing is lost, whatever the seed.
        materialise(&disk.draw(Loss::Nothing, &mut Dice::new(0)), folder.path());
        let recorder = Recorder::watch_on(folder.path(), disk);
        let violations = self.judge(|| {
            let world = World::traced(earlier.to_vec(), &recorder);
            let engine = builder(world).open(folder.path().join(DATABASE))?;
            let result = self.workload.run(&engine)?;
            let notes = notes_of(&recorder.trace(), earlier);
            self.check(&engine, result, &notes)
        });
        Recovery { violations, trace: recorder.trace() }
    }

    /// What a run that has ended must agree on: notes, records and result; and a second call gives the same.
    pub fn check(
        &self,
        engine: &Engine,
        result: u64,
        notes: &[Note],
    ) -> Result<Vec<Violation>, durable::Error> {
        let mut violations = check_notes(notes);
        violations.extend(check_records(notes, engine)?);
        for result in [result, self.workload.run(engine)?] {
            if result != self.expected {
                violations.push(Violation::Wrong(self.expected, result));
            }
        }
        Ok(violations)
    }

    /// Turns a fault or a panic where there may be none into a violation.
    pub fn judge(&self, trial: impl FnOnce() -> Result<Vec<Violation>, durable::Error>) -> Vec<Violation> {
        match catch_unwind(AssertUnwindSafe(trial)) {
            Ok(Ok(violations)) => violations,
            Ok(Err(error)) => vec![Violation::Untyped(error.to_string())],
            Err(panic) => vec![Violation::Panicked(message(&*panic))],
        }
    }
}

/// The notes of earlier processes, and those in a trace.
pub fn notes_of(trace: &Trace, earlier: &[Note]) -> Vec<Note> {
    let said = trace.events.iter().filter_map(|event| match event {
        Event::Said(note) => Some(note.clone()),
        _ => None,
    });
    earlier.iter().cloned().chain(said).collect()
}

/// The text of a panic.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}
