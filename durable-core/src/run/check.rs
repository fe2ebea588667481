//! A run that is only checked: what is recorded is given back, and its body ends at the first operation that is not.
//! The one rule: whatever its code does on the way out, no operation of it begins, so nothing of it is executed,
//! waited for or written.
//! Knows no positions and no store.

use std::panic::resume_unwind;
use std::sync::mpsc::Sender;
use std::thread;

use super::{Run, Stopped};
use crate::error::Error;
use crate::key::StepKey;
use crate::sync::{Mutex, lock};

/// How the body of a checked run ended: to its end or where its records do, or by a fault. `None` where it cannot.
pub(crate) type Verdict = Option<Result<(), Error>>;

pub(crate) struct Check {
    verdict: Sender<Verdict>,
    /// Whether somebody executed the run when it was read.
    pub(crate) is_live: bool,
    seen: Mutex<Seen>,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The operations that the run would go on with: one, or one for each branch.
    pub(crate) goes_on_with: Vec<StepKey>,
    /// The steps that another build recorded with other arguments.
    pub(crate) other_arguments: Vec<StepKey>,
}

impl Run {
    /// What is known of the run, if it is only checked.
    pub(crate) fn check(&self) -> Option<&Check> {
        self.check.as_ref()
    }
}

impl Check {
    pub(crate) fn new(verdict: Sender<Verdict>, is_live: bool) -> Self {
        Self { verdict, is_live, seen: Mutex::default() }
    }

    /// Adds to what was seen.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut lock(&self.seen));
    }

    /// All that was seen.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }

    /// Ends the body by unwinding it. Where it unwinds already, a `Drop` calls for an operation: there is no value to
    /// give it, and a second unwinding would end the process, so this thread waits for ever.
    pub(crate) fn end_body(&self) -> ! {
        if thread::panicking() {
            // Nobody may be left who wants to know.
            _ = self.verdict.send(None);
            loop {
                thread::park();
            }
        }
        resume_unwind(Box::new(Stopped))
    }
}
