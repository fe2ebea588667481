//! A row of `steps`: owned, as ops and people have it, and borrowed, as a scan passes it; and the words that it
//! has for what an operation is and how it ended. Knows no store.

use super::Epoch;
use crate::clock::Timestamp;
use crate::key::{Position, StepKey};

/// The stored outcome of an operation, as the `status` column of `steps` holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It returned a value.
    Completed,
    /// It returned an error, or panicked, after its retries; or it runs at most once and was interrupted.
    Failed,
    /// It runs at most once and is under way: that it begins is recorded before it does. Only what is read by
    /// [`Engine::history`](crate::Engine::history) and [`Engine::steps`](crate::Engine::steps) has this. The row itself
    /// has failed, which is what counts should its process die.
    Begun,
}

/// What an operation is, as the `kind` column holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A function with `#[durable::step]`.
    Step,
    /// One with `at_most_once`. Before its body runs, a row is recorded that failed after 0 attempts; the
    /// outcome takes its place.
    Once,
    /// The marker of `durable::patched`: the run takes the new way from here.
    Patch,
    /// A workflow called plainly inside a run: its steps are positions below its own.
    Child,
    /// A workflow started by its entry point inside a run: a run of its own.
    Workflow,
    /// `durable::sleep`: its output is the time to wake, in unix milliseconds.
    Sleep,
    /// A workflow handed over to the background inside a run: its output is the id.
    Start,
    /// `durable::send`: its output is null, or why it was not delivered.
    Message,
    /// `durable::recv`: its output is the message in an array, or null if the time had passed.
    Receive,
    /// `durable::set_event`: its output is null.
    SetEvent,
    /// `durable::get_event`: its output is the value in an array, null if there is none, or why.
    GetEvent,
    /// A race between branches: its output is the number of the one that decided it.
    Race,
    /// Branches that all had to succeed, and did not: its output is the number of the one that failed.
    TryJoin,
    /// The next branch of a `durable::unordered`: its output is the number of that, its argument the stream's position.
    Next,
}

impl Kind {
    /// Whether its output is the number of the branch that decided it.
    pub(crate) fn is_decision(self) -> bool {
        matches!(self, Self::Race | Self::TryJoin | Self::Next)
    }

    /// Whether what one of them recorded is the outcome of the other: a step may come to run at most once, or
    /// cease to.
    pub(crate) fn is_like(self, other: Self) -> bool {
        let plain = |kind| if kind == Self::Once { Self::Step } else { kind };
        plain(self) == plain(other)
    }
}

/// One row of `steps`: an operation that has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepRecord {
    /// Where it stands in its run.
    pub position: Position,
    /// The step's name, without its position.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The construct whose branch it stands in (`join`, or the name of an inline child); `None` in the root
    /// scope.
    pub scope: Option<String>,
    /// How it ended.
    pub status: StepStatus,
    /// The value or the error, as JSON; `null` of a step that has [`StepStatus::Begun`].
    pub output: String,
    /// The hash of the arguments, where they could be hashed.
    pub args_fingerprint: Option<u64>,
    /// The arguments as a JSON array, for steps with `args = record`.
    pub args: Option<String>,
    /// Where the step is declared: `src/orders.rs:12`.
    pub site: String,
    /// How often its body ran for this outcome.
    pub attempts: u32,
    /// When its first attempt began.
    pub started: Timestamp,
    /// When this row was recorded.
    pub timestamp: Timestamp,
    /// The ownership that recorded it.
    pub epoch: Epoch,
    /// The program that recorded it: a hash of the executable's size and time.
    pub build: u64,
    /// The row was edited by hand: its checksum was set to null. Or a fork has it with another output.
    pub edited: bool,
}

impl StepRecord {
    /// Whether it says that a step has begun which runs at most once, and not what became of it.
    pub(crate) fn is_begun(&self) -> bool {
        self.kind == Kind::Once && self.attempts == 0
    }

    /// The `step_key` column: `<name>_<position>`.
    pub fn key(&self) -> StepKey {
        StepKey::new(&self.name, &self.position)
    }

    /// The same, borrowed.
    pub fn as_row(&self) -> StepRow<'_> {
        StepRow {
            position: self.position.clone(),
            name: &self.name,
            kind: self.kind,
            scope: self.scope.as_deref(),
            status: self.status,
            output: &self.output,
            args_fingerprint: self.args_fingerprint,
            args: self.args.as_deref(),
            site: &self.site,
            attempts: self.attempts,
            started: self.started,
            timestamp: self.timestamp,
            epoch: self.epoch,
            build: self.build,
            edited: self.edited,
        }
    }
}

/// A [`StepRecord`] as a scan passes it: whoever keeps nothing of it allocates nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepRow<'r> {
    /// See [`StepRecord::position`].
    pub position: Position,
    /// See [`StepRecord::name`].
    pub name: &'r str,
    /// See [`StepRecord::kind`].
    pub kind: Kind,
    /// See [`StepRecord::scope`].
    pub scope: Option<&'r str>,
    /// See [`StepRecord::status`].
    pub status: StepStatus,
    /// See [`StepRecord::output`].
    pub output: &'r str,
    /// See [`StepRecord::args_fingerprint`].
    pub args_fingerprint: Option<u64>,
    /// See [`StepRecord::args`].
    pub args: Option<&'r str>,
    /// See [`StepRecord::site`].
    pub site: &'r str,
    /// See [`StepRecord::attempts`].
    pub attempts: u32,
    /// See [`StepRecord::started`].
    pub started: Timestamp,
    /// See [`StepRecord::timestamp`].
    pub timestamp: Timestamp,
    /// See [`StepRecord::epoch`].
    pub epoch: Epoch,
    /// See [`StepRecord::build`].
    pub build: u64,
    /// See [`StepRecord::edited`].
    pub edited: bool,
}

impl StepRow<'_> {
    /// The same, owned.
    pub fn into_record(self) -> StepRecord {
        StepRecord {
            position: self.position,
            name: self.name.to_owned(),
            kind: self.kind,
            scope: self.scope.map(str::to_owned),
            status: self.status,
            output: self.output.to_owned(),
            args_fingerprint: self.args_fingerprint,
            args: self.args.map(str::to_owned),
            site: self.site.to_owned(),
            attempts: self.attempts,
            started: self.started,
            timestamp: self.timestamp,
            epoch: self.epoch,
            build: self.build,
            edited: self.edited,
        }
    }
}
