//! What can go wrong outside the user's own functions. An [`Error`] ends a run or refuses a call; it is never
//! recorded as the result of a step, and user code in a workflow cannot catch it.
//! Each variant carries data: ids, positions, places, what was recorded and what was found.

mod fork_refused;
mod mismatch;
mod returned;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::failed::StepFailed;
use crate::key::{InvalidId, Site, WorkflowId};
use crate::outcome::{Undecodable, Unstorable};
use crate::store::{RunStatus, StoreError, Wanted};

pub use fork_refused::ForkRefused;
pub(crate) use mismatch::{CHILD, kind_word};
pub use mismatch::{Difference, Divergence, InputMismatch, Operation, Overlap, Unstructured};
pub use returned::RunError;

/// A fault of the engine or of a call to it.
///
/// Its `Debug` is its text, so that a `main` that returns it says what happened and what to do.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text given as a workflow id cannot be one.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// There is no engine for this call.
    #[error(
        "no engine to run on: call `durable::open(path)` first, name one with `.on(&engine)`, enter one with \
         `engine.enter()`, or set $DURABLE_DB to the path of the database"
    )]
    NoEngine,
    /// The store could not be opened.
    #[error("failed to open the store: {0}")]
    #[cfg(feature = "sqlite")]
    Open(#[source] Arc<crate::store::OpenError>),
    /// The process has a global engine already.
    #[error(
        "this process has a global engine already; `durable::open` and `durable::set_global` can be called once"
    )]
    GlobalEngineIsSet,
    /// Two workflows of the program have one name.
    #[error("two workflows are named `{name}`: {first} and {second}; give one #[workflow(name = \"…\")]")]
    DuplicateWorkflow {
        /// The name.
        name: String,
        /// Where one is declared.
        first: Site,
        /// Where the other is declared.
        second: Site,
    },
    /// The store failed while it read or wrote for this run.
    #[error("workflow {workflow:?} stopped: {source}")]
    Store {
        /// The run.
        workflow: WorkflowId,
        /// What the store said.
        #[source]
        source: Arc<StoreError>,
    },
    /// The store failed outside any run.
    #[error("{0}")]
    Read(#[source] Arc<StoreError>),
    /// What the running program does at a position is not what was recorded there.
    #[error(transparent)]
    Divergence(Box<Divergence>),
    /// Two operations ran in one scope at once, or one was dropped before it ended.
    #[error(transparent)]
    Unstructured(Box<Unstructured>),
    /// A step returned a value that would not come back from the store as it is.
    #[error("{} of workflow {workflow:?} ({site}) failed: {source}; nothing was recorded", Subject(step))]
    Unstorable {
        /// The run.
        workflow: WorkflowId,
        /// The step's key, or the workflow's name for its own result.
        step: String,
        /// Where it is declared.
        site: Site,
        /// The type, and what is wrong with the value.
        #[source]
        source: Arc<Unstorable>,
    },
    /// What was recorded cannot be read as the type that the running program has there.
    #[error(
        "{} of workflow {workflow:?} ({site}) cannot be replayed: {source}; or run the build that recorded it, or \
         drop it with `Engine::rewind`",
        Subject(step)
    )]
    Undecodable {
        /// The run.
        workflow: WorkflowId,
        /// The step's key, or the workflow's name for its own input or result.
        step: String,
        /// Where it is declared.
        site: Site,
        /// The type, and what the decoder said.
        #[source]
        source: Arc<Undecodable>,
    },
    /// The arguments of a run cannot be stored.
    #[error("workflow {workflow:?} was not started: the arguments of `{name}` ({site}): {source}")]
    UnstorableInput {
        /// The run.
        workflow: WorkflowId,
        /// The workflow's name.
        name: &'static str,
        /// Where it is declared.
        site: Site,
        /// The type, and what is wrong with the value.
        #[source]
        source: Arc<Unstorable>,
    },
    /// The value of a message or an event would not come back from the store as it is.
    #[error("the value of `{name}` for workflow {workflow:?} cannot be stored: {source}; nothing was")]
    UnstorableValue {
        /// The run that it is sent to, or that publishes it.
        workflow: WorkflowId,
        /// The topic, or the event's name.
        name: &'static str,
        /// The type, and what is wrong with the value.
        #[source]
        source: Arc<Unstorable>,
    },
    /// The stored value of an event cannot be read as the type that the running program has for it.
    #[error("the value of `{name}` of workflow {workflow:?} cannot be read: {source}")]
    UndecodableValue {
        /// The run that published it.
        workflow: WorkflowId,
        /// The event's name.
        name: &'static str,
        /// The type, and what the decoder said.
        #[source]
        source: Arc<Undecodable>,
    },
    /// A message of a run cannot be read as the type that the running program receives. It was not received, and waits.
    #[error(
        "the next message about `{topic}` of workflow {workflow:?} cannot be received at {site}: {source}; or drop the \
         message with `Engine::drop_message({workflow:?}, {key:?})`, and try the run again"
    )]
    UndecodableMessage {
        /// The run that it was sent to.
        workflow: WorkflowId,
        /// The topic.
        topic: &'static str,
        /// What tells it from the run's other messages.
        key: String,
        /// Where it was to be received.
        site: Site,
        /// The type, and what the decoder said.
        #[source]
        source: Arc<Undecodable>,
    },
    /// The message was received, so it cannot be dropped.
    #[error(
        "message {key:?} of workflow {workflow:?} was received; `Engine::rewind` to that step gives it back"
    )]
    MessageReceived {
        /// The run that it was sent to.
        workflow: WorkflowId,
        /// What tells it from the run's other messages.
        key: String,
    },
    /// A step asked for what only the body of a workflow has: it would be asked again with each attempt.
    #[error(
        "a message about `{name}` was asked for in a step of workflow {workflow:?}; receive messages in the body of the \
         workflow, and give the step what came of it"
    )]
    NotInWorkflow {
        /// The run.
        workflow: WorkflowId,
        /// The topic.
        name: String,
    },
    /// The id belongs to another workflow, or was started with other arguments.
    #[error(transparent)]
    InputMismatch(Box<InputMismatch>),
    /// There is no run with this id.
    #[error("there is no run {workflow:?}; start it with `run_durable`")]
    UnknownRun {
        /// The id.
        workflow: WorkflowId,
    },
    /// The run has no recorded step with this key.
    #[error("workflow {workflow:?} has no recorded step {step:?}; `Engine::steps` lists them")]
    UnknownStep {
        /// The run.
        workflow: WorkflowId,
        /// The key that was given.
        step: String,
    },
    /// The run is live, so it cannot be reset, rewound or deleted, and no message of it can be dropped.
    #[error(
        "workflow {workflow:?} is running; it can be reset, rewound or deleted, or lose a message, once it has stopped"
    )]
    Live {
        /// The run.
        workflow: WorkflowId,
    },
    /// Somebody else took the run over, so nothing of this execution can be recorded any more.
    #[error(
        "workflow {workflow:?} is owned by another process now; this execution stopped and recorded nothing more"
    )]
    LostOwnership {
        /// The run.
        workflow: WorkflowId,
    },
    /// A run would wait for itself, at once or by way of others.
    #[error("workflow {workflow:?} would wait for itself: {}", chain.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(" -> "))]
    WaitsForItself {
        /// The run that asked.
        workflow: WorkflowId,
        /// Who waits for whom.
        chain: Vec<WorkflowId>,
    },
    /// Somebody cancelled the run.
    #[error("workflow {workflow:?} was cancelled; `resume` opens it again")]
    Cancelled {
        /// The run.
        workflow: WorkflowId,
    },
    /// Somebody paused the run.
    #[error("workflow {workflow:?} is paused; `Engine::unpause` or `resume` goes on with it")]
    Paused {
        /// The run.
        workflow: WorkflowId,
    },
    /// The run waits, and was unloaded from memory until then. Only what runs in its body can meet this.
    #[error("workflow {workflow:?} waits until {until} and was unloaded from memory; it goes on by itself")]
    Unloaded {
        /// The run.
        workflow: WorkflowId,
        /// When it is taken up again.
        until: Timestamp,
    },
    /// The program is built so that a panic ends it at once.
    #[error(
        "this program is built with `panic = \"abort\"`, so the body of a workflow cannot be ended where its records do; \
         check with a build that unwinds"
    )]
    NoUnwinding,
    /// The engine was shut down.
    #[error("the engine was shut down: it takes no new work, and another engine can go on with its runs")]
    ShutDown,
    /// The tokio runtime that polls the run, or would, has shut down (with the feature `tokio` alone).
    #[error(
        "workflow {workflow:?} is not executed here: the tokio runtime that would poll it has shut down; another engine \
         can start it, or go on with it"
    )]
    RuntimeShutDown {
        /// The run.
        workflow: WorkflowId,
    },
    /// What was asked of a run makes no sense in the state that it is in.
    #[error("workflow {workflow:?} cannot be {what}: it is {status}")]
    Refused {
        /// The run.
        workflow: WorkflowId,
        /// What was asked, as `cancelled`.
        what: &'static str,
        /// The state that it is in.
        status: RunStatus,
    },
    /// A run was not forked.
    #[error(transparent)]
    ForkRefused(Box<ForkRefused>),
    /// A run was stopped by a fault that would come again.
    #[error("workflow {workflow:?} is halted: {fault}; `Engine::retry` tries it again")]
    Halted {
        /// The run.
        workflow: WorkflowId,
        /// What stopped it.
        fault: String,
    },
    /// The run belongs to another workflow than the one that was named.
    #[error("workflow {workflow:?} is a run of `{recorded}`, not of `{found}`")]
    OtherWorkflow {
        /// The run.
        workflow: WorkflowId,
        /// The name of its workflow.
        recorded: String,
        /// The name that was asked for.
        found: &'static str,
    },
    /// The body of a workflow panicked. The run is interrupted: the next call goes on from its recorded steps.
    #[error("workflow {workflow:?} panicked: {message}; it is interrupted and can be run again")]
    Panicked {
        /// The run.
        workflow: WorkflowId,
        /// The panic's message.
        message: String,
    },
    /// A step that runs at most once failed, and what it returns has no room for that, so the body of its workflow
    /// panicked with it. The run is halted: such a step does not run again by itself.
    #[error(
        "step `{step}` of workflow {workflow:?} runs at most once and failed, and its type cannot hold that: {failed}; \
         return a `Result` with an error that is `From<StepFailed>` to go on from here, have it run again with \
         `Engine::rewind({workflow:?}, {step:?})`, or say what it returned with `Engine::fork_with`",
        step = failed.step()
    )]
    FailedForGood {
        /// The run.
        workflow: WorkflowId,
        /// The failure, as it is recorded.
        failed: Box<StepFailed>,
    },
    /// An entry point was called while a panic unwinds (in a `Drop`), where steps could not be told from plain calls.
    #[error(
        "workflow {workflow:?} cannot be run while a panic unwinds its thread; run it once that is over, or on another thread"
    )]
    Unwinding {
        /// The run.
        workflow: WorkflowId,
    },
    /// The run has recorded as many steps as one run may have.
    #[error(
        "workflow {workflow:?} has recorded {steps_max} steps, the most that one run may have; split it into workflows of their own"
    )]
    TooManySteps {
        /// The run.
        workflow: WorkflowId,
        /// The limit.
        steps_max: u32,
    },
    /// `durable::resource::<T>()` found no value of this type.
    #[error(
        "the engine has no resource of type `{type_name}`; give it one with `Engine::builder().with(value)`"
    )]
    MissingResource {
        /// The type that was asked for.
        type_name: &'static str,
    },
    /// A branch was spawned in a scope of threads by somebody other than the scope's own closure.
    #[error(
        "workflow {workflow:?}: `spawn` at {site} was called from inside another branch; branches are numbered by the closure of `durable::scope` alone"
    )]
    ForeignSpawn {
        /// The run.
        workflow: WorkflowId,
        /// Where.
        site: Site,
    },
    /// The process was forked after the engine was opened.
    #[error(
        "this process was forked from the one that opened the engine (process {opened_by}); fork before an engine is opened, or start another program"
    )]
    Forked {
        /// The process that opened it.
        opened_by: u32,
    },
}

/// What a value was of: a step's key ends in its position, a workflow's name does not.
struct Subject<'s>(&'s str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.0.rsplit_once('_').map(|(_, position)| position);
        let is_step = position.is_some_and(|at| at.starts_with(|c: char| c.is_ascii_digit()));
        if is_step {
            write!(f, "step `{}`", self.0)
        } else {
            write!(f, "the input or result of `{}`", self.0)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// Whether the same fault would come again if nothing else changed. Such a run is halted: it is not
    /// recovered on its own, and the next `run_durable` tries it again.
    pub(crate) fn would_come_again(&self) -> bool {
        match self {
            Self::Divergence(_)
            | Self::Unstructured(_)
            | Self::Unstorable { .. }
            | Self::Undecodable { .. }
            | Self::TooManySteps { .. }
            | Self::WaitsForItself { .. }
            | Self::ForeignSpawn { .. }
            | Self::UnstorableValue { .. }
            | Self::UndecodableMessage { .. }
            | Self::FailedForGood { .. }
            | Self::UnknownRun { .. }
            | Self::NotInWorkflow { .. } => true,
            Self::Store { source, .. } => matches!(**source, StoreError::Corrupt(_)),
            _ => false,
        }
    }

    /// What a run ends with that does what was asked of it.
    pub(crate) fn wanted(workflow: &WorkflowId, wanted: Wanted) -> Self {
        let workflow = workflow.clone();
        match wanted {
            Wanted::Cancel => Self::Cancelled { workflow },
            Wanted::Pause => Self::Paused { workflow },
        }
    }

    pub(crate) fn store(workflow: &WorkflowId, source: StoreError) -> Self {
        Self::Store { workflow: workflow.clone(), source: Arc::new(source) }
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
