//! The changes of a store, as plain data, and what becomes of them. Knows no store.

use super::{Awaits, Epoch, OwnerId, RunStatus, StepRecord, Wanted};
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};

/// A change of the store.
#[derive(Debug, Clone)]
pub enum Op {
    /// Inserts a run that is owned from the start, unless the id is taken. [`Answer::Started`] or
    /// [`Answer::Exists`].
    Start(Start),
    /// Takes a run up, if its epoch is still `expected`. [`Answer::Claimed`] or [`Answer::Lost`].
    Claim(Claim),
    /// Adds an outcome to a run. [`Answer::Done`], [`Answer::Fenced`] if the epoch is stale or another outcome
    /// stands there, or [`Answer::Wanted`] if something is asked of the run and the record is not shielded from that.
    /// The outcome of a [`Kind::Once`](super::Kind::Once) takes the place of what the same ownership recorded before
    /// it ran, also while something is wanted of the run.
    Record(Record),
    /// Adds an outcome to a run, and does what it tells of. What [`Op::Record`] answers; if the effect cannot be
    /// had, neither is done: [`Answer::Undelivered`], or [`Answer::Lost`] if the message has been received.
    Act(Act),
    /// Puts a message into the mailbox of a run, unless one of its key is or was there. [`Answer::Done`] or
    /// [`Answer::Undelivered`].
    Deliver(Message),
    /// Publishes a value of a run. [`Answer::Done`], or [`Answer::Fenced`] if the epoch is stale.
    Publish(Publish),
    /// Ends a run and gives up its ownership. [`Answer::Done`] or [`Answer::Fenced`].
    Finish(Finish),
    /// Gives up the ownership of a run that has not ended. [`Answer::Done`] or [`Answer::Fenced`].
    Release(Release),
    /// Gives up a run that this owner has, by whatever ownership: after a start or a claim of unknown fate, or
    /// whose caller has gone.
    /// [`Answer::Done`], or [`Answer::Fenced`] if somebody else or nobody has it.
    Disown(Disown),
    /// Cancels or pauses a run, and cancels those that it has started; one that somebody executes is only asked
    /// for it. [`Answer::Done`], [`Answer::Asked`], or [`Answer::Lost`] if there is no such run, or if it has
    /// ended otherwise.
    Ask(Ask),
    /// Has a run taken up that nobody executes and that has not completed. [`Answer::Done`], or
    /// [`Answer::Lost`] if there is no such run.
    Reopen(Reopen),
    /// Drops a position and all after it, and re-opens the run. [`Answer::Dropped`] or [`Answer::Lost`].
    Rewind(Rewind),
    /// Copies what comes before a position to a new run, which nobody executes. [`Answer::Forked`],
    /// [`Answer::Exists`] if the id is taken by anything else than this fork before it ran, or [`Answer::Lost`].
    Fork(Fork),
    /// Drops the message of this key that a run has not received; nobody may execute the run. [`Answer::Dropped`] with
    /// how many there were, [`Answer::Exists`] if it was received, or [`Answer::Lost`].
    DropMessage(DropMessage),
    /// Forgets a run. [`Answer::Done`], [`Answer::Lost`] if its epoch is not `expected`, also when there is
    /// no such run.
    Reset(Reset),
}

/// See [`Op::Start`].
#[derive(Debug, Clone)]
pub struct Start {
    /// The new run.
    pub id: WorkflowId,
    /// The workflow's name.
    pub name: String,
    /// The arguments, as a JSON array; `null` if there are none.
    pub input: String,
    /// Who runs it; nobody until `wake_at`.
    pub owner: Option<OwnerId>,
    /// When it is taken up, if nobody runs it yet.
    pub wake_at: Option<Timestamp>,
    /// When it is cancelled, if it has not ended by then.
    pub deadline: Option<Timestamp>,
    /// The version of the workflow's source, if that says one.
    pub version: Option<u32>,
    /// The run that starts it from inside.
    pub parent: Option<WorkflowId>,
    /// Random; a repeated start is known by it.
    pub nonce: u64,
    /// Random, or given in tests.
    pub seed: u64,
    /// The hash of the workflow function's source.
    pub fingerprint: u64,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Claim`].
#[derive(Debug, Clone)]
pub struct Claim {
    /// The run.
    pub id: WorkflowId,
    /// The epoch that the caller has read.
    pub expected: Epoch,
    /// The owner that the caller has read, and knows to be dead; none if there was none. A run that ended
    /// meanwhile has the same epoch, and no owner.
    pub from: Option<OwnerId>,
    /// Who takes it up.
    pub owner: OwnerId,
    /// Failed steps that are to run again; removed in the same transaction.
    pub drop: Vec<Position>,
    /// How often the run was taken up after a death or a panic, this time included.
    pub recoveries: u32,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Record`].
#[derive(Debug, Clone)]
pub struct Record {
    /// The run.
    pub id: WorkflowId,
    /// The outcome; its `epoch` is the ownership that records it.
    pub step: StepRecord,
    /// What it rests on, recorded with it where nothing is recorded yet: none of it without the outcome, and not the
    /// outcome without all of it.
    pub markers: Vec<StepRecord>,
    /// It is recorded whatever is asked of the run.
    pub is_shielded: bool,
}

/// See [`Op::Act`].
#[derive(Debug, Clone)]
pub struct Act {
    /// The outcome.
    pub record: Record,
    /// What is done with it, in the same transaction.
    pub effect: Effect,
}

/// What an operation changes besides its own run's steps.
#[derive(Debug, Clone)]
pub enum Effect {
    /// It sends this.
    Deliver(Message),
    /// It receives the message of its own run that has this number.
    Receive(i64),
    /// It publishes this; the epoch is that of the outcome.
    Publish(Publish),
    /// It decides for this of its branches: what the others have received waits again.
    Decide(u32),
}

/// A message on its way. See [`Op::Deliver`].
#[derive(Debug, Clone)]
pub struct Message {
    /// The run that is to receive it.
    pub to: WorkflowId,
    /// What it is about.
    pub topic: String,
    /// Tells it from all others that the run ever gets: a second one of the same key is not put there.
    pub key: String,
    /// The value, as JSON.
    pub value: String,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Publish`].
#[derive(Debug, Clone)]
pub struct Publish {
    /// The run.
    pub id: WorkflowId,
    /// The ownership that publishes it.
    pub epoch: Epoch,
    /// The event's name.
    pub name: String,
    /// The value, as JSON; it takes the place of an earlier one.
    pub value: String,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Finish`].
#[derive(Debug, Clone)]
pub struct Finish {
    /// The run.
    pub id: WorkflowId,
    /// The ownership that ends it.
    pub epoch: Epoch,
    /// How it ended.
    pub end: End,
    /// When.
    pub at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this value, as JSON.
    Completed(String),
    /// With this error, as JSON.
    Failed(String),
    /// By this fault, as text.
    Halted {
        /// What stopped it, as text.
        fault: String,
        /// Whether a failure or a panic had escaped from the body before.
        escaped: bool,
    },
    /// Because this was asked of it.
    Asked(Wanted),
}

/// See [`Op::Release`].
#[derive(Debug, Clone)]
pub struct Release {
    /// The run.
    pub id: WorkflowId,
    /// The ownership that is given up.
    pub epoch: Epoch,
    /// The message of the panic that interrupted the body, if one did; kept in the `error` column.
    pub panicked: Option<String>,
    /// When it is to be taken up again, if it waits.
    pub wake_at: Option<Timestamp>,
    /// What has it taken up before that, if it waits for something; at once if that is there already.
    pub awaits: Option<Awaits>,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Disown`].
#[derive(Debug, Clone)]
pub struct Disown {
    /// The run.
    pub id: WorkflowId,
    /// Who may have it without knowing.
    pub owner: OwnerId,
    /// When it is to be taken up again, if it waits.
    pub wake_at: Option<Timestamp>,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Ask`].
#[derive(Debug, Clone)]
pub struct Ask {
    /// The run.
    pub id: WorkflowId,
    /// What is asked.
    pub wanted: Wanted,
    /// The owner that the caller has read, and knows to be dead: nobody would heed it.
    pub dead: Option<OwnerId>,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Reopen`].
#[derive(Debug, Clone)]
pub struct Reopen {
    /// The run.
    pub id: WorkflowId,
    /// When, and when it is due.
    pub at: Timestamp,
}

/// See [`Op::Rewind`].
#[derive(Debug, Clone)]
pub struct Rewind {
    /// The run.
    pub id: WorkflowId,
    /// The epoch that the caller has read.
    pub expected: Epoch,
    /// The first position to drop. The inline children and races that it lies in are dropped too: their results
    /// rest on it.
    pub from: Position,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::Fork`].
#[derive(Debug, Clone)]
pub struct Fork {
    /// The run to copy; it stays as it is, and may be executed meanwhile.
    pub id: WorkflowId,
    /// The epoch that the caller has read.
    pub expected: Epoch,
    /// The new run: the same workflow with the same input, seed and time of start.
    pub to: WorkflowId,
    /// The first position that is not copied. The inline children that it lies in are not copied either, as
    /// with [`Op::Rewind`].
    pub from: Position,
    /// A copied step that is to have returned this value, as JSON.
    pub changed: Option<(Position, String)>,
    /// Random, of the new run.
    pub nonce: u64,
    /// When.
    pub at: Timestamp,
}

/// See [`Op::DropMessage`].
#[derive(Debug, Clone)]
pub struct DropMessage {
    /// The run that it was sent to.
    pub id: WorkflowId,
    /// The epoch that the caller has read.
    pub expected: Epoch,
    /// What tells it from the run's other messages.
    pub key: String,
}

/// See [`Op::Reset`].
#[derive(Debug, Clone)]
pub struct Reset {
    /// The run.
    pub id: WorkflowId,
    /// The epoch that the caller has read.
    pub expected: Epoch,
    /// When.
    pub at: Timestamp,
}

/// What became of an [`Op`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The run was inserted, with this ownership.
    Started(Epoch),
    /// The id is taken, or the message received; nothing changed.
    Exists,
    /// The run was taken up, with this ownership.
    Claimed(Epoch),
    /// The epoch had moved on, or there is no such run; nothing changed.
    Lost,
    /// It was done.
    Done,
    /// The epoch is stale: somebody else owns the run. Nothing changed.
    Fenced,
    /// Nothing changed, since this is asked of the run.
    Wanted(Wanted),
    /// It was asked of whoever executes these runs.
    Asked(Vec<WorkflowId>),
    /// The message was not put anywhere: there is no such run, or it has ended like this and will not look.
    Undelivered(Option<RunStatus>),
    /// So many steps or messages were dropped.
    Dropped(u64),
    /// The new run has so many steps.
    Forked(u64),
}
