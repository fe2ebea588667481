//! What can be asked of a run from outside, by its id and from any process: it stands in the store before
//! anything comes of it, and asking again changes nothing. Knows no types of the user.

mod bulk;
mod deleting;
mod forking;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Pause;
use crate::engine::Engine;
use crate::error::Error;
use crate::handle::Handle;
use crate::key::WorkflowId;
use crate::registry::Workflow;
use crate::run::Run;
use crate::scheduler;
use crate::signal::{Given, block_on};
use crate::store::{Answer, Ask, Op, OwnerId, Reopen, RunRecord, RunStatus, Wanted};

pub use bulk::{Bulk, REFUSALS_MAX};

impl Engine {
    /// The run of the workflow `W` with this id, if there is one: `engine.handle::<fulfil>("order-123")`.
    ///
    /// # Errors
    /// [`Error::OtherWorkflow`] if the id belongs to another workflow.
    pub fn handle<W: Workflow>(&self, id: impl AsRef<str>) -> Result<Option<Handle<W>>, Error> {
        let Some(run) = self.run(id)? else { return Ok(None) };
        if run.name == W::SPEC.name {
            return Ok(Some(Handle::new(self.clone(), run.id)));
        }
        Err(Error::OtherWorkflow { workflow: run.id, recorded: run.name, found: W::SPEC.name })
    }

    /// Goes on, in the background, with every interrupted run whose workflow is linked into this program: one
    /// that was given up, or whose process is dead. As long as this engine lives, it also takes up the runs of
    /// processes that die later, and those that are due. A run whose workflow is not linked is told to the
    /// program's `tracing` subscriber, and left alone; so are async ones once the tokio runtime of the engine has shut
    /// down. Returns at once.
    ///
    /// # Errors
    /// [`Error::ShutDown`] after [`Engine::shutdown`].
    pub fn recover(&self) -> Result<(), Error> {
        self.core.check_process()?;
        if self.settings.background.is_closed() {
            return Err(Error::ShutDown);
        }
        scheduler::recover(self);
        Ok(())
    }

    /// Ends a run, and all that it has started, wherever they are executed: at their next durable operation, or
    /// at once where they wait. What a step of them does when it is asked is not recorded. Returns once it is
    /// stored that it is to end; a run that is cancelled already stays so.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Refused`] if the run has ended otherwise.
    pub fn cancel(&self, id: impl AsRef<str>) -> Result<(), Error> {
        self.ask(id.as_ref(), Wanted::Cancel, "cancelled")
    }

    /// Has a run given up, wherever it is executed, at its next durable operation, or at once where it waits:
    /// nobody takes it up before [`Engine::unpause`]. What a step of it does when it is asked is not recorded,
    /// and runs again. Runs that it has started go on.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Refused`] if the run has ended.
    pub fn pause(&self, id: impl AsRef<str>) -> Result<(), Error> {
        self.ask(id.as_ref(), Wanted::Pause, "paused")
    }

    /// Has a paused run go on, in the background of whatever engine looks after waiting runs: one that started
    /// runs in the background, or recovers them. One that runs already is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Refused`] if the run is in another state.
    pub fn unpause(&self, id: impl AsRef<str>) -> Result<(), Error> {
        self.reopen(id.as_ref(), "unpaused", |status| status == RunStatus::Paused)
    }

    /// Has a run that failed or was halted tried again, in the background of whatever engine looks after
    /// waiting runs: the failure that escaped runs again, all else is kept. One that runs already is left
    /// alone.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Refused`] if the run is in another state.
    pub fn retry(&self, id: impl AsRef<str>) -> Result<(), Error> {
        self.reopen(id.as_ref(), "retried", |status| matches!(status, RunStatus::Failed | RunStatus::Halted))
    }

    /// Has a run go on that was cancelled or paused, failed or was halted, in the background of whatever engine
    /// looks after waiting runs. One that runs already is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Refused`] if the run has completed.
    pub fn resume(&self, id: impl AsRef<str>) -> Result<(), Error> {
        self.reopen(id.as_ref(), "resumed", |status| status != RunStatus::Completed)
    }

    /// Takes no new work in the background, and has the runs there given up: each at its next durable
    /// operation, so that steps under way end and are recorded, and at once where it waits. Returns the runs
    /// that are still executed when `deadline` has passed; they end, or are given up, later. A run that is
    /// given up here is due for any other engine that looks after waiting runs, and who waits for it here is told when
    /// that has ended it. Calls of `run_durable` are not touched.
    ///
    /// It blocks this thread. On the only thread of an executor, runs that need it cannot end meanwhile, so `deadline`
    /// passes; in async code call it on a thread for blocking calls, as by tokio's `spawn_blocking`.
    pub fn shutdown(&self, deadline: Duration) -> Vec<WorkflowId> {
        self.settings.background.close();
        let until = self.settings.clock.elapsed().saturating_add(deadline);
        let mine = |run: &Arc<Run>| run.in_background && Arc::ptr_eq(&run.settings, &self.settings);
        let left: Vec<_> = self.core.all_executed().into_iter().filter(mine).collect();
        for run in &left {
            run.leave(Error::ShutDown);
        }
        let ids: Vec<_> = left.iter().map(|run| run.id.clone()).collect();
        // The runs themselves are not held, so that they can end.
        drop(left);
        ids.into_iter().filter(|id| !self.has_left(id, until)).collect()
    }

    /// Waits until this process does not execute the run any more, but not longer than `until`.
    fn has_left(&self, id: &WorkflowId, until: Duration) -> bool {
        loop {
            let watch = self.core.watch(id);
            if !self.core.is_reserved(id) {
                return true;
            }
            let left = until.saturating_sub(self.settings.clock.elapsed());
            if left.is_zero() {
                return false;
            }
            let changed = Given::new(Arc::clone(&watch.changed));
            let mut pause = pin!(Pause::new(Arc::clone(&self.settings.clock), left));
            let mut changed = pin!(changed);
            block_on(poll_fn(|cx| match changed.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => pause.as_mut().poll(cx),
            }));
        }
    }

    fn ask(&self, id: &str, wanted: Wanted, what: &'static str) -> Result<(), Error> {
        self.core.check_process()?;
        let id = WorkflowId::new(id)?;
        let op = self.ask_op(&self.found(&id)?, wanted)?;
        let answer = self.core.commits.commit(op).map_err(|source| Error::store(&id, source))?;
        self.asked(&id, wanted, what, answer)
    }

    fn ask_op(&self, run: &RunRecord, wanted: Wanted) -> Result<Op, Error> {
        let (dead, at) = (self.dead_owner(run)?, self.settings.clock.now());
        Ok(Op::Ask(Ask { id: run.id.clone(), wanted, dead, at }))
    }

    /// Has those heed what was asked who execute such a run here.
    fn asked(
        &self,
        id: &WorkflowId,
        wanted: Wanted,
        what: &'static str,
        answer: Answer,
    ) -> Result<(), Error> {
        match answer {
            Answer::Lost => {
                let status = self.found(id)?.status;
                return Err(Error::Refused { workflow: id.clone(), what, status });
            }
            Answer::Asked(executed) => {
                for id in executed {
                    if let Some(run) = self.core.executed(&id) {
                        run.heed(wanted);
                    }
                }
            }
            _ => {}
        }
        self.core.tell_all_watchers();
        Ok(())
    }

    fn reopen(&self, id: &str, what: &'static str, is_fit: fn(RunStatus) -> bool) -> Result<(), Error> {
        self.core.check_process()?;
        let id = WorkflowId::new(id)?;
        let Some(op) = self.reopen_op(&id, self.found(&id)?.status, what, is_fit)? else { return Ok(()) };
        let answer = self.core.commits.commit(op).map_err(|source| Error::store(&id, source))?;
        self.reopened(&id, what, &answer)?;
        self.settings.background.attendance.nudge();
        Ok(())
    }

    /// What opens a run in this state; nothing if it runs already.
    fn reopen_op(
        &self,
        id: &WorkflowId,
        status: RunStatus,
        what: &'static str,
        is_fit: fn(RunStatus) -> bool,
    ) -> Result<Option<Op>, Error> {
        if status == RunStatus::Running && what != "resumed" {
            return Ok(None);
        }
        if !is_fit(status) {
            return Err(Error::Refused { workflow: id.clone(), what, status });
        }
        Ok(Some(Op::Reopen(Reopen { id: id.clone(), at: self.settings.clock.now() })))
    }

    fn reopened(&self, id: &WorkflowId, what: &'static str, answer: &Answer) -> Result<(), Error> {
        if *answer == Answer::Lost {
            let status = self.found(id)?.status;
            return Err(Error::Refused { workflow: id.clone(), what, status });
        }
        Ok(())
    }

    fn found(&self, id: &WorkflowId) -> Result<RunRecord, Error> {
        self.run(id.as_str())?.ok_or_else(|| Error::UnknownRun { workflow: id.clone() })
    }

    /// The owner of the run, if it is dead.
    fn dead_owner(&self, run: &RunRecord) -> Result<Option<OwnerId>, Error> {
        let Some(owner) = &run.owner else { return Ok(None) };
        let is_live = self.core.is_live(&run.id, Some(owner))?;
        Ok((!is_live).then(|| owner.clone()))
    }
}
