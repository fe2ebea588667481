//! What is asked of many runs at once: of all that fit a filter, each as if it were asked alone. Runs are read and
//! written page by page, so that no transaction grows with the number of runs; a run that refuses stops no other.

use crate::engine::Engine;
use crate::error::Error;
use crate::key::WorkflowId;
use crate::signal::block_on;
use crate::store::{Answer, Filter, Op, Reset, RunRecord, RunStatus, StoreError, Wanted};

/// So many runs are written to in one transaction at most.
const PAGE: usize = 256;

/// So many refusals are kept, unless there are fewer.
pub const REFUSALS_MAX: usize = 1_000;

/// What became of a call that is about many runs.
#[derive(Debug, Clone, Default)]
#[must_use = "some of the runs may have refused"]
#[non_exhaustive]
pub struct Bulk {
    /// How many runs are now as was asked, those included that were so before.
    pub done: u64,
    /// How many have refused.
    pub refused: u64,
    /// The ids of those, with their reasons: of the first [`REFUSALS_MAX`].
    pub refusals: Vec<(String, Error)>,
}

impl Engine {
    /// [`Engine::cancel`] for all runs that fit `filter`. A run that a cancelled one has started is cancelled with
    /// it, and does not count unless it fits itself.
    ///
    /// What has completed or failed refuses, so the filter had better say which states are meant. A run that is
    /// started meanwhile is asked too if its id comes after those that were. Pages of at most 256 runs are written
    /// in one transaction each.
    ///
    /// # Errors
    /// What the store says; what was asked until then stays so, and can be asked again.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error, Filter, RunStatus};
    /// # let engine = Engine::in_memory()?;
    /// let running = Filter::all().name("fulfil").status(RunStatus::Running);
    /// let bulk = engine.cancel_all(&running)?;
    /// assert_eq!((bulk.done, bulk.refused), (0, 0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn cancel_all(&self, filter: &Filter) -> Result<Bulk, Error> {
        let wanted = Wanted::Cancel;
        self.bulk(
            filter,
            |run| self.ask_op(run, wanted).map(Some),
            |id, answer| self.asked(id, wanted, "cancelled", answer),
        )
    }

    /// [`Engine::retry`] for all runs that fit `filter`: what is in another state than failed, halted or running
    /// refuses. See [`Engine::cancel_all`].
    ///
    /// # Errors
    /// What the store says; what was asked until then stays so, and can be asked again.
    pub fn retry_all(&self, filter: &Filter) -> Result<Bulk, Error> {
        self.reopen_all(filter, "retried", |status| matches!(status, RunStatus::Failed | RunStatus::Halted))
    }

    /// [`Engine::resume`] for all runs that fit `filter`: what has completed refuses. See [`Engine::cancel_all`].
    ///
    /// # Errors
    /// What the store says; what was asked until then stays so, and can be asked again.
    pub fn resume_all(&self, filter: &Filter) -> Result<Bulk, Error> {
        self.reopen_all(filter, "resumed", |status| status != RunStatus::Completed)
    }

    /// [`Engine::delete`] for all runs that fit `filter`: what lives refuses, and so does a run whose own row is
    /// damaged, which is only deleted by its name. The runs that a deleted one has started stay, unless they fit
    /// themselves. See [`Engine::cancel_all`].
    ///
    /// # Errors
    /// What the store says; what was deleted until then stays so.
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use durable_core::{Engine, Error, Filter, RunStatus};
    /// # let engine = Engine::in_memory()?;
    /// let month_ago = SystemTime::now() - Duration::from_hours(30 * 24);
    /// let old = Filter::all().status(RunStatus::Completed).updated_before(month_ago);
    /// assert_eq!(engine.delete_all(&old)?.done, 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_all(&self, filter: &Filter) -> Result<Bulk, Error> {
        let op = |run: &RunRecord| {
            if self.core.is_live(&run.id, run.owner.as_ref())? {
                return Err(Error::Live { workflow: run.id.clone() });
            }
            let (id, expected, at) = (run.id.clone(), run.epoch, self.settings.clock.now());
            Ok(Some(Op::Reset(Reset { id, expected, at })))
        };
        // Somebody had it meanwhile, and it may not fit any more.
        let deleted = |id: &WorkflowId, answer| match answer {
            Answer::Lost if self.run(id)?.is_some_and(|run| filter.fits(&run)) => self.delete(id).map(drop),
            _ => Ok(()),
        };
        self.bulk(filter, op, deleted)
    }

    fn reopen_all(
        &self,
        filter: &Filter,
        what: &'static str,
        is_fit: fn(RunStatus) -> bool,
    ) -> Result<Bulk, Error> {
        let op = |run: &RunRecord| self.reopen_op(&run.id, run.status, what, is_fit);
        let bulk = self.bulk(filter, op, |id, answer| self.reopened(id, what, &answer));
        self.settings.background.attendance.nudge();
        bulk
    }

    /// Applies to each run that fits the op that `op` makes of it; none if it is as was asked.
    fn bulk(
        &self,
        filter: &Filter,
        op: impl Fn(&RunRecord) -> Result<Option<Op>, Error>,
        answered: impl Fn(&WorkflowId, Answer) -> Result<(), Error>,
    ) -> Result<Bulk, Error> {
        self.core.check_process()?;
        let (mut bulk, mut runs) = (Bulk::default(), self.list(filter));
        loop {
            let page: Vec<_> = runs.by_ref().take(PAGE).collect();
            if page.is_empty() {
                return Ok(bulk);
            }
            let mut under_way = Vec::new();
            for run in page {
                let made = run.map_err(|error| (damaged_key(&error), error)).and_then(|run| match op(&run) {
                    Ok(op) => Ok((run.id, op)),
                    Err(error) => Err((Some(run.id.as_str().to_owned()), error)),
                });
                match made {
                    Ok((id, Some(op))) => under_way.push((id, self.core.commits.submit(op))),
                    Ok((_, None)) => bulk.done += 1,
                    Err((Some(id), error)) => bulk.refuse(id, error)?,
                    Err((None, error)) => return Err(error),
                }
            }
            for (id, ticket) in under_way {
                let answer = block_on(ticket).map_err(|source| Error::store(&id, source));
                match answer.and_then(|answer| answered(&id, answer)) {
                    Ok(()) => bulk.done += 1,
                    Err(error) => bulk.refuse(id.as_str().to_owned(), error)?,
                }
            }
        }
    }
}

impl Bulk {
    /// Notes a refusal; what is wrong with the store is none.
    fn refuse(&mut self, id: String, error: Error) -> Result<(), Error> {
        let is_of_run =
            matches!(error, Error::Refused { .. } | Error::Live { .. } | Error::UnknownRun { .. });
        if !is_of_run && damaged_key(&error).is_none() {
            return Err(error);
        }
        self.refused += 1;
        if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push((id, error));
        }
        Ok(())
    }
}

/// The key of the row that is damaged, if that is what is wrong.
fn damaged_key(error: &Error) -> Option<String> {
    match error {
        Error::Read(source) | Error::Store { source, .. } => match &**source {
            StoreError::Corrupt(row) => Some(row.key.clone()),
            _ => None,
        },
        _ => None,
    }
}
