//! What a store of steps is: everything that changes one is plain data, an [`Op`], and has an [`Answer`].
//!
//! The contract that every store keeps, and that `store::contract` checks:
//! * One [`StepStore::apply`] is one durable transaction: when it returns `Ok`, all of its ops survive a
//!   crash; when it returns `Err`, none of them is ever seen, unless the error says that the fate is unknown.
//! * A batch means the same as its ops applied one by one. Each op is idempotent: applied twice, it changes
//!   the store once.
//! * An op that carries an [`Epoch`] changes nothing once that epoch is not the workflow's current one.
//! * Epochs come from one counter of the store, and are never used again, also after a reset.
//! * A row that cannot be read is reported alone, and stops no other.
//!
//! Nothing outside this folder knows a database.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};

pub(crate) mod batch;
pub(crate) mod commit;
#[cfg(all(test, feature = "sqlite"))]
mod contract;
mod durability;
mod filter;
pub mod memory;
mod message;
mod op;
#[cfg(feature = "sqlite")]
mod refused;
#[cfg(feature = "sqlite")]
mod row;
mod run;
#[cfg(feature = "sqlite")]
mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod step;
mod transition;

pub use durability::Durability;
pub use filter::{Filter, Listed};
pub use message::{Awaits, EventRecord, MessageRecord, Token};
pub use op::{
    Act, Answer, Ask, Claim, Disown, DropMessage, Effect, End, Finish, Fork, Message, Op, Publish, Record,
    Release, Reopen, Reset, Rewind, Start,
};
#[cfg(feature = "sqlite")]
pub use refused::OpenError;
pub use run::RunRecord;
pub use step::{Kind, StepRecord, StepRow, StepStatus};

/// A number that tells one ownership of a run from every other, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// The name of one opened store: whoever runs a workflow writes it on the row. Random, never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerId(pub Arc<str>);

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run that can be taken up: its id, and the name of its workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The caller's id.
    pub id: WorkflowId,
    /// The workflow's name.
    pub name: String,
}

/// Who owns a run, and by which ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The current ownership.
    pub epoch: Epoch,
    /// Who runs it, if anyone does or did when it died.
    pub owner: Option<OwnerId>,
}

/// The stored state of a run, as the `status` column of `workflows` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunStatus {
    /// Started and not ended: live if it has an owner that lives, otherwise interrupted.
    Running,
    /// Ended with a value.
    Completed,
    /// Ended with the workflow's own error, or given up after too many panics.
    Failed,
    /// Stopped by a fault that would come again: divergence, an unstorable value, an unreadable row.
    Halted,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Given up until somebody asks to go on.
    Paused,
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Halted => "halted",
            Self::Cancelled => "cancelled",
            Self::Paused => "paused",
        })
    }
}

/// What is asked of a run from outside, as the `wanted` column of `workflows` holds it until its process heeds
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wanted {
    /// To end: [`RunStatus::Cancelled`].
    Cancel,
    /// To be given up until somebody asks to go on: [`RunStatus::Paused`].
    Pause,
}

/// The part of a store that writes. Blocking; one caller at a time.
pub trait StepStore: Send {
    /// Applies `ops` in order in one durable transaction, and answers each.
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError>;

    /// Whether its calls can wait for a disk or a network. If not, futures make them on the spot; otherwise
    /// threads of the engine's own do.
    fn blocks(&self) -> bool {
        true
    }

    /// Whether there is something to do that [`StepStore::apply`] put off, since nobody should wait for it. Asked
    /// after each transaction.
    fn wants_upkeep(&mut self) -> bool {
        false
    }

    /// Does what was put off, such as to move a log into its file; a thread of the engine's own calls it between
    /// two transactions. What it fails to do is put off again.
    fn keep_up(&mut self) {}

    /// Opens a reader, which never waits for a writer's sync.
    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError>;

    /// The owner that this store stands for: it lives until the store is dropped or the process dies.
    fn owner(&self) -> OwnerId;
}

/// The part of a store that reads what is committed.
pub trait StepReader: Send {
    /// The run with this id.
    fn run(&mut self, id: &WorkflowId) -> Result<Option<RunRecord>, StoreError>;

    /// Who owns the run with this id. Asks nothing else of its row, so that a damaged run can be forgotten.
    fn ownership(&mut self, id: &WorkflowId) -> Result<Option<Ownership>, StoreError>;

    /// At most `limit` runs that fit `filter`, in the order of the bytes of their ids, from after `after`. There
    /// can be fewer, or none, and others all the same: [`Listed::next`] says so.
    fn runs(&mut self, filter: &Filter, after: Option<&[u8]>, limit: u32) -> Result<Listed, StoreError>;

    /// The position of the step with this key. Asks nothing else of its row, so that a damaged one can be
    /// dropped.
    fn position(&mut self, id: &WorkflowId, key: &str) -> Result<Option<Position>, StoreError>;

    /// Shows `visit` the rows of a run in the order of their positions, from after `after`, until it breaks off;
    /// one that cannot be read is shown as its error, and those after it follow.
    fn inspect(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(Result<StepRow<'_>, CorruptRow>) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Shows `visit` the steps of a run in the order of their positions, from after `after`, until it breaks
    /// off. Those before a row that cannot be read have been shown when that is returned.
    fn scan(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(StepRow<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut corrupt = None;
        self.inspect(id, after, &mut |row| match row {
            Ok(row) => visit(row),
            Err(row) => {
                corrupt = Some(row);
                ControlFlow::Break(())
            }
        })?;
        corrupt.map_or(Ok(()), |row| Err(row.into()))
    }

    /// At most `limit` steps of a run in the order of their positions, from after `after`.
    fn steps(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        limit: u32,
    ) -> Result<Vec<StepRecord>, StoreError> {
        let mut steps = Vec::new();
        if limit > 0 {
            self.scan(id, after, &mut |row| {
                steps.push(row.into_record());
                if steps.len() < limit as usize { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(steps)
    }

    /// Tells other processes which runs of this one wait for which, in place of what it told before. They are
    /// only used to find runs that wait for each other in a circle, so a store that cannot tell may do nothing.
    fn tell(&mut self, waits: &[(WorkflowId, WorkflowId)]) {
        _ = waits;
    }

    /// What the living owners in other processes have told by [`StepReader::tell`].
    fn told(&mut self) -> Vec<(WorkflowId, WorkflowId)> {
        Vec::new()
    }

    /// At most `limit` runs that wait until `until` or less, the first due first, from after `after`.
    fn due(
        &mut self,
        until: Timestamp,
        after: Option<&(Timestamp, WorkflowId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Candidate)>, StoreError>;

    /// When the first of the runs is due that wait longer than `until`.
    fn next_due(&mut self, until: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// At most `limit` runs that have not ended by their deadline, which is `now` or earlier, and are not asked to end
    /// yet; the first deadline first.
    fn expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WorkflowId>, StoreError>;

    /// The first deadline after `now` of a run that has not ended.
    fn next_deadline(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Who has runs that have not ended, living or dead.
    fn owners(&mut self) -> Result<Vec<OwnerId>, StoreError>;

    /// At most `limit` runs of this owner that have not ended, in the order of their ids, from after `after`;
    /// of nobody, those that do not wait.
    fn interrupted(
        &mut self,
        owner: Option<&OwnerId>,
        after: Option<&WorkflowId>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError>;

    /// The runs of this owner of which something is wanted.
    fn wanted(&mut self, owner: &OwnerId) -> Result<Vec<(WorkflowId, Wanted)>, StoreError>;

    /// The first message of a run about `topic` that has not been received.
    fn message(&mut self, id: &WorkflowId, topic: &str) -> Result<Option<MessageRecord>, StoreError>;

    /// All messages of a run in the order in which they were sent, those that were received too.
    fn messages(&mut self, id: &WorkflowId) -> Result<Vec<MessageRecord>, StoreError>;

    /// The value that a run has published under this name.
    fn event(&mut self, id: &WorkflowId, name: &str) -> Result<Option<EventRecord>, StoreError>;

    /// All values that a run has published, in the order of their names.
    fn events(&mut self, id: &WorkflowId) -> Result<Vec<EventRecord>, StoreError>;

    /// A number that is another one once somebody has committed something since it was asked last.
    fn version(&mut self) -> Result<u64, StoreError>;

    /// What waits, on a thread of its own, until `owner` is dead; `None` if that cannot be waited for.
    fn death_of(&self, owner: &OwnerId) -> Option<Box<dyn FnOnce() + Send>> {
        _ = owner;
        None
    }

    /// Whether `owner` still lives. Needs no clock: `true` while it holds its lock, whatever state its
    /// process is in.
    fn lives(&mut self, owner: &OwnerId) -> Result<bool, StoreError>;
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the row {key:?} of table {table} cannot be read: {reason}")]
pub struct CorruptRow {
    /// `workflows`, `steps`, `messages` or `events`.
    pub table: &'static str,
    /// The workflow id, and what tells the row from others of it: the step's key, the message's number, the event's
    /// name.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not do it now (full disk, I/O error, locked); nothing was committed, and a later try
    /// can succeed.
    #[error("the store could not {action}: {reason}; nothing was committed")]
    Unavailable {
        /// What was being done, as `commit a batch of 3`.
        action: String,
        /// What the database said.
        reason: String,
    },
    /// The commit failed in a way that does not tell whether it will be there after a restart. The connection
    /// was given up.
    #[error(
        "the store could not tell whether a commit went through: {reason}; what is recorded is read again on the next call"
    )]
    Unknown {
        /// What the database said.
        reason: String,
    },
    /// One write alone was refused; nothing of its batch was committed, and the others can be.
    #[error("the store refused a write: {reason}; nothing was committed")]
    Refused {
        /// What the database said.
        reason: String,
    },
    /// A row cannot be read; the others can.
    #[error(transparent)]
    Corrupt(#[from] CorruptRow),
    /// The store itself cannot be used any more.
    #[error("the store cannot be used: {reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether one op of a batch is to blame, and the others can be applied without it.
    pub(crate) fn blames_one_op(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Corrupt(_))
    }

    /// Whether the same op can succeed later.
    pub(crate) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}
