//! A row of `workflows`: a run as it is stored, and what that says of those that wait. Knows no store.

use super::{Epoch, OwnerId, RunStatus, Token, Wanted};
use crate::clock::Timestamp;
use crate::key::WorkflowId;

/// One row of `workflows`: a run as it is stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunRecord {
    /// The caller's id.
    pub id: WorkflowId,
    /// The workflow's name.
    pub name: String,
    /// The state it is in.
    pub status: RunStatus,
    /// The arguments, as a JSON array; `null` if the workflow takes none.
    pub input: String,
    /// The value, as JSON, once completed.
    pub output: Option<String>,
    /// The error once failed (JSON), the fault once halted (text), the message of the panic that interrupted
    /// it (text).
    pub error: Option<String>,
    /// When it was first started.
    pub created: Timestamp,
    /// When this row was last written.
    pub updated: Timestamp,
    /// Who runs it, if anyone does or did when it died.
    pub owner: Option<OwnerId>,
    /// The current ownership.
    pub epoch: Epoch,
    /// The run that started it from inside, if one did.
    pub parent: Option<WorkflowId>,
    /// How often an interrupted run was taken up again since it last ended.
    pub recoveries: u32,
    /// A random number of this run, never the same after a reset; idempotency keys carry it.
    pub nonce: u64,
    /// Where the run's `random()` and `uuid()` start from.
    pub seed: u64,
    /// A hash of the workflow function's source at the start, for diagnosis only.
    pub fingerprint: u64,
    /// Whether a failure or a panic escaped from the body when it ended last: on resume it runs again.
    pub escaped: bool,
    /// When a run that nobody executes is taken up again: it sleeps, or was given up for a while.
    pub wake_at: Option<Timestamp>,
    /// What was asked of the process that executes it.
    pub wanted: Option<Wanted>,
    /// What has a run that waits taken up before `wake_at`.
    pub awaits: Option<Token>,
    /// When it was to begin, if it was started with a delay.
    pub begins: Option<Timestamp>,
    /// When it is cancelled, if it has not ended by then.
    pub deadline: Option<Timestamp>,
    /// The version of the workflow's source that started it, if that says one.
    pub version: Option<u32>,
    /// The row was edited by hand: its checksum was set to null.
    pub edited: bool,
}

/// So many runs at most are looked at one after the other that wait for each other.
const CHAIN_MAX: usize = 10_000;

impl RunRecord {
    /// The run without which this one never goes on, while nobody executes it.
    pub(crate) fn waits_for(&self) -> Option<WorkflowId> {
        let is_endless = self.owner.is_none() && self.wake_at >= Some(Timestamp::NEVER);
        self.awaits.as_ref().filter(|_| is_endless)?.run()
    }

    /// How the run `from` would wait for itself if it waited for `to`, from it and back to it, by what `load` tells
    /// of runs that nobody executes.
    pub(crate) fn circle<E>(
        from: &WorkflowId,
        to: &WorkflowId,
        mut load: impl FnMut(&WorkflowId) -> Result<Option<Self>, E>,
    ) -> Result<Option<Vec<WorkflowId>>, E> {
        let mut chain = vec![from.clone(), to.clone()];
        while chain.len() < CHAIN_MAX {
            let last = &chain[chain.len() - 1];
            if last == from {
                return Ok(Some(chain));
            }
            match load(last)?.and_then(|run| run.waits_for()) {
                Some(next) => chain.push(next),
                None => return Ok(None),
            }
        }
        Ok(None)
    }
    /// Whether the run has ended and does not go on by itself.
    pub(crate) fn is_over(&self) -> bool {
        match self.status {
            RunStatus::Completed | RunStatus::Cancelled => true,
            RunStatus::Failed | RunStatus::Halted => self.wake_at.is_none(),
            RunStatus::Running | RunStatus::Paused => false,
        }
    }
}
