//! [`Engine::check`]: what the running code makes of the unfinished runs of a store, without executing any of them.
//! The one rule: it reads. A checked run has no owner and records nothing, whoever owns the stored one.
//! Knows no SQL and no types of the user.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::background::Execution;
use crate::engine::Engine;
use crate::error::{Divergence, Error};
use crate::history::History;
use crate::key::StepKey;
use crate::run::{Check, Mode, Run, Seat, Verdict};
use crate::store::{Ownership, RunRecord, RunStatus, StoreError};
use crate::trace;

/// What [`Engine::check`] found of one run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Checked {
    /// The id of the run.
    pub id: String,
    /// The name of its workflow; empty if its row cannot be read.
    pub name: String,
    /// The state that it is in; `None` if its row cannot be read.
    pub status: Option<RunStatus>,
    /// What the running code makes of it.
    pub finding: Finding,
    /// The steps that another build recorded with other arguments than this one calls them with. Their results are
    /// used; a type that has got a field is the usual reason, and no fault.
    pub other_arguments: Vec<StepKey>,
    /// The recorded steps that this code does not come to any more, if it comes to its end.
    pub unreached: Vec<StepKey>,
}

/// What the running code makes of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Finding {
    /// All that is recorded is what this code does, and it goes on with these operations: one, or one for each branch
    /// that is under way. A wait that is not over yet is one of them, and so is a race that nothing is recorded of to
    /// have decided it: what is recorded in its branches is not looked into.
    GoesOn(Vec<StepKey>),
    /// All that is recorded is what this code does, and it comes to its end.
    Ends,
    /// What is recorded is not what this code does.
    Diverges(Box<Divergence>),
    /// Something else would stop it: an input or a result that this code cannot read, a panic of the body, a step that
    /// runs at most once, was interrupted, and returns no `Result` that says so, a damaged row.
    Stops(Error),
    /// No workflow of this program has its name.
    NotLinked,
    /// A `Drop` called a durable operation while the body was ended, so how it goes on is not known.
    Unknown,
}

impl Checked {
    /// Whether the run can be gone on with by the running code. Warnings do not count.
    pub fn is_fine(&self) -> bool {
        matches!(self.finding, Finding::GoesOn(_) | Finding::Ends)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |keys: &[StepKey]| keys.iter().map(StepKey::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "{:?} of `{}`: ", self.id, self.name)?;
        match &self.finding {
            Finding::GoesOn(at) => write!(f, "goes on with {}", keys(at))?,
            Finding::Ends => f.write_str("comes to its end")?,
            Finding::Diverges(divergence) => divergence.fmt(f)?,
            Finding::Stops(error) => error.fmt(f)?,
            Finding::NotLinked => f.write_str("no workflow of this program has that name")?,
            Finding::Unknown => {
                f.write_str("not known: a `Drop` in its body calls a durable operation")?;
            }
        }
        if !self.other_arguments.is_empty() {
            write!(f, "; with other arguments than were recorded: {}", keys(&self.other_arguments))?;
        }
        if !self.unreached.is_empty() {
            write!(f, "; recorded and not reached any more: {}", keys(&self.unreached))?;
        }
        Ok(())
    }
}

impl Engine {
    /// Replays every unfinished run against the running code, without executing a step and without writing: before a
    /// deployment it says which runs the new code would not go on with. Runs that failed and have something to run again
    /// are checked as they would be taken up; completed and cancelled ones are not.
    ///
    /// It takes no ownership, so it works while other processes execute the runs. **The code between the steps runs**,
    /// with the values that are recorded, and is ended by unwinding at the first operation that is not recorded; what
    /// it does besides calling steps, its `Drop`s included, it does here too. An async body is polled without the
    /// reactor of any executor. Each run is checked on a thread of its own, one after the other; the caller waits. A
    /// body whose `Drop` calls a durable operation keeps its thread for ever: [`Finding::Unknown`].
    ///
    /// # Errors
    /// What the store says, and [`Error::NoUnwinding`]. A row that cannot be read is a finding.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// let engine = Engine::in_memory()?;
    /// let stuck: Vec<_> = engine.check()?.into_iter().filter(|run| !run.is_fine()).collect();
    /// assert!(stuck.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check(&self) -> Result<Vec<Checked>, Error> {
        self.core.check_process()?;
        if cfg!(panic = "abort") {
            return Err(Error::NoUnwinding);
        }
        let mut all = Vec::new();
        for run in self.runs() {
            match run {
                Ok(run) => all.extend(self.check_run(&run)?),
                Err(Error::Read(source)) => match &*source {
                    StoreError::Corrupt(row) => all.push(unreadable(row.key.clone(), source)),
                    _ => return Err(Error::Read(source)),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// `None` if nobody would execute it.
    fn check_run(&self, run: &RunRecord) -> Result<Option<Checked>, Error> {
        if matches!(run.status, RunStatus::Completed | RunStatus::Cancelled) {
            return Ok(None);
        }
        let bytes_max = self.settings.history_bytes_max;
        let history = History::whole(bytes_max, &run.id, &mut **self.core.reader());
        let mut history = match history {
            Ok(history) => history,
            Err(source @ StoreError::Corrupt(_)) => {
                let stops = Finding::Stops(Error::store(&run.id, source));
                return Ok(Some(Checked::new(run, stops)));
            }
            Err(source) => return Err(Error::store(&run.id, source)),
        };
        let drop = if run.escaped { history.escaped() } else { Vec::new() };
        if run.status == RunStatus::Failed && drop.is_empty() {
            return Ok(None);
        }
        history.remove(&drop);
        let is_live = self.is_live_still(run)?;
        let Some(execution) = self.settings.workflows.get(run.name.as_str()) else {
            return Ok(Some(Checked::new(run, Finding::NotLinked)));
        };
        Ok(Some(self.replay(run, history, is_live, *execution)))
    }

    /// Whether somebody executes the run, or may have since it was read. Asked after its history was read: what that
    /// says to have begun has not ended if nobody does.
    fn is_live_still(&self, run: &RunRecord) -> Result<bool, Error> {
        let ownership =
            self.core.reader().ownership(&run.id).map_err(|source| Error::store(&run.id, source))?;
        match ownership {
            Some(Ownership { epoch, owner }) if epoch == run.epoch => {
                self.core.is_live(&run.id, owner.as_ref())
            }
            _ => Ok(true),
        }
    }

    fn replay(&self, record: &RunRecord, history: History, is_live: bool, execution: Execution) -> Checked {
        let (sender, verdict) = mpsc::channel();
        let seat = Seat {
            id: record.id.clone(),
            epoch: record.epoch,
            nonce: record.nonce,
            seed: record.seed,
            version: record.version,
            started: record.begins.unwrap_or(record.created),
            history: Arc::new(history),
            in_background: false,
            check: Some(Check::new(sender.clone(), is_live)),
        };
        let run = Run::new(Arc::clone(&self.core), Arc::clone(&self.settings), seat, Mode::Called);
        let (replayed, input, span) = (Arc::clone(&run), record.input.clone(), trace::current());
        let replay = move || {
            let ended = span.in_scope(|| (execution.check)(&replayed, &input));
            // Nobody may be left who wants to know.
            _ = sender.send(Some(ended));
        };
        if let Err(error) = thread::Builder::new().name("durable-check".into()).spawn(replay) {
            let (action, reason) = ("start a thread that checks it".to_owned(), error.to_string());
            let unavailable = StoreError::Unavailable { action, reason };
            return Checked::new(record, Finding::Stops(Error::store(&record.id, unavailable)));
        }
        found(record, &run, verdict.recv().ok().flatten())
    }
}

/// What was found of a run, now that its body has ended.
fn found(record: &RunRecord, run: &Run, verdict: Verdict) -> Checked {
    let seen = run.check().map(Check::take).unwrap_or_default();
    let finding = match verdict {
        Some(Err(Error::Divergence(divergence))) => Finding::Diverges(divergence),
        Some(Err(error)) => Finding::Stops(error),
        Some(Ok(())) if seen.goes_on_with.is_empty() => Finding::Ends,
        Some(Ok(())) => Finding::GoesOn(sorted(seen.goes_on_with)),
        None => Finding::Unknown,
    };
    let is_at_its_end = matches!(finding, Finding::Ends);
    let unreached = if is_at_its_end { run.history.unreached() } else { Vec::new() };
    let other_arguments = sorted(seen.other_arguments);
    Checked { other_arguments, unreached, ..Checked::new(record, finding) }
}

/// Branches are seen in the order of their threads.
fn sorted(mut keys: Vec<StepKey>) -> Vec<StepKey> {
    keys.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    keys
}

fn unreadable(id: String, source: Arc<StoreError>) -> Checked {
    let finding = Finding::Stops(Error::Read(source));
    let (name, status, other_arguments, unreached) = (String::new(), None, Vec::new(), Vec::new());
    Checked { id, name, status, finding, other_arguments, unreached }
}

impl Checked {
    fn new(run: &RunRecord, finding: Finding) -> Self {
        let (id, name, status) = (run.id.as_str().to_owned(), run.name.clone(), Some(run.status));
        Self { id, name, status, finding, other_arguments: Vec::new(), unreached: Vec::new() }
    }
}
