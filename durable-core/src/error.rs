//! What can go wrong outside the user's own functions. An [`Error`] ends a run or refuses a call; it is never
//! recorded as the result of a step, and user code in a workflow cannot catch it.
//! Each variant carries data: ids, positions, places, what was recorded and what was found.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::key::{InvalidId, Position, Site, StepKey, WorkflowId};
use crate::outcome::{Undecodable, Unstorable};
use crate::store::{Kind, StoreError};

/// A fault of the engine or of a call to it.
#[derive(Debug, Clone, thiserror::Error)]
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
    #[error(
        "step `{step}` of workflow {workflow:?} ({site}) returned a value that cannot be stored: {source}; nothing was recorded"
    )]
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
        "what is recorded for `{step}` of workflow {workflow:?} ({site}) cannot be read: {source}; run the build that \
         recorded it, make the type read it, or drop it with `Engine::rewind`"
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
    #[error(
        "the arguments of workflow `{name}` ({site}) cannot be stored: {source}; {workflow:?} was not started"
    )]
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
    /// The run is live, so it cannot be reset or rewound.
    #[error("workflow {workflow:?} is running; it can be reset or rewound once it has stopped")]
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
    /// The body of a workflow panicked. The run is interrupted: the next call goes on from its recorded steps.
    #[error("workflow {workflow:?} panicked: {message}; it is interrupted and can be run again")]
    Panicked {
        /// The run.
        workflow: WorkflowId,
        /// The panic's message.
        message: String,
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
        "this process was forked from the one that opened the engine (process {opened_by}); open an engine of its own after a fork"
    )]
    Forked {
        /// The process that opened it.
        opened_by: u32,
    },
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
            | Self::ForeignSpawn { .. } => true,
            Self::Store { source, .. } => matches!(**source, StoreError::Corrupt(_)),
            _ => false,
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

/// One operation, as it is named in an error: its name, its kind and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The name of the step, workflow or construct.
    pub name: String,
    /// What it is, as the `kind` column says it; parallel constructs are `branches`.
    pub kind: &'static str,
    /// Where it is declared: `src/orders.rs:12`.
    pub site: String,
}

impl Operation {
    pub(crate) fn new(name: &str, kind: &'static str, site: &dyn fmt::Display) -> Self {
        Self { name: name.to_owned(), kind, site: site.to_string() }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` ({})", self.kind, self.name, self.site)
    }
}

/// What was recorded at a position and what the running program does there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Divergence {
    /// The run.
    pub workflow: WorkflowId,
    /// Where they part.
    pub position: Position,
    /// What was recorded.
    pub recorded: Operation,
    /// How long ago it was recorded.
    pub age: Duration,
    /// What the running program calls.
    pub found: Operation,
    /// What is different.
    pub difference: Difference,
}

/// What is different between a recorded operation and the one found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The name or the kind. If the found one is recorded elsewhere in the scope, its key is given.
    Operation {
        /// Where the run recorded the operation that is found here.
        nearest: Option<StepKey>,
    },
    /// The arguments, although the same build recorded them.
    Arguments,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, position, recorded, age, found, difference } = self;
        match difference {
            Difference::Operation { nearest } => {
                write!(
                    f,
                    "workflow {workflow:?} is not what was recorded: position {position} was recorded as {recorded} "
                )?;
                write!(f, "{} ago, but this run calls {found} there", Age(*age))?;
                match nearest {
                    Some(key) => write!(
                        f,
                        "; it was recorded as {key}: an operation seems to have been inserted or removed before it"
                    )?,
                    None => write!(
                        f,
                        "; the code changed, or a branch depends on time, randomness, map order or the environment"
                    )?,
                }
            }
            Difference::Arguments => {
                write!(
                    f,
                    "workflow {workflow:?} is not what was recorded: {found} at position {position} was recorded "
                )?;
                write!(f, "{} ago by this same build with other arguments", Age(*age))?;
                write!(f, "; they depend on time, randomness, map order or the environment")?;
            }
        }
        let key = StepKey::new(&recorded.name, position);
        write!(
            f,
            ". Run the build that recorded it, or give up what comes from there on with `Engine::rewind(id, {key:?})`, ",
            key = key.as_str()
        )?;
        write!(f, "or the whole run with `Engine::reset(id)`")
    }
}

impl std::error::Error for Divergence {}

/// A duration in its largest whole unit, for people.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            secs @ 1..=119 => write!(f, "{secs} s"),
            secs @ 120..=7_199 => write!(f, "{} min", secs / 60),
            secs @ 7_200..=172_799 => write!(f, "{} h", secs / 3_600),
            secs => write!(f, "{} days", secs / 86_400),
        }
    }
}

/// Two operations of one scope whose order the program's structure does not decide.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unstructured {
    /// The run.
    pub workflow: WorkflowId,
    /// The operation that was under way, or was dropped.
    pub first: Operation,
    /// The operation that began then.
    pub second: Operation,
    /// What the first was doing.
    pub how: Overlap,
}

/// How two operations of one scope met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overlap {
    /// The first was still running.
    Running,
    /// The first had been dropped before it ended.
    Dropped,
    /// An operation was polled in another scope than the one that it began in.
    Moved,
}

impl fmt::Display for Unstructured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, first, second, how } = self;
        match how {
            Overlap::Running => write!(
                f,
                "workflow {workflow:?}: {second} began while {first} was still running in the same scope, so the scheduler \
                 would decide their order; run them with durable::join, scope or map, or durable::join!, join_all or future::map"
            ),
            Overlap::Dropped => write!(
                f,
                "workflow {workflow:?}: {first} was dropped before it ended (select, timeout), then {second} was called, so \
                 timing would decide what a replay does; let it end, or race inside one step"
            ),
            Overlap::Moved => write!(
                f,
                "workflow {workflow:?}: {first} began in one scope and was polled in another (a spawned task, another branch); \
                 await it where it was called, or make it a branch with durable::join!, join_all or future::map"
            ),
        }
    }
}

impl std::error::Error for Unstructured {}

/// An id that is taken, and what asked for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InputMismatch {
    /// The run.
    pub workflow: WorkflowId,
    /// The name of the workflow that has the id.
    pub recorded_name: String,
    /// Its input, as JSON.
    pub recorded_input: String,
    /// The name of the workflow that was called.
    pub found_name: String,
    /// The input that was given, as JSON.
    pub found_input: String,
}

/// So many characters of an input are shown in an error.
const INPUT_SHOWN_CHARS_MAX: usize = 200;

impl fmt::Display for InputMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |text: &str| {
            let mut shown: String = text.chars().take(INPUT_SHOWN_CHARS_MAX).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        };
        let Self { workflow, recorded_name, recorded_input, found_name, found_input } = self;
        if recorded_name == found_name {
            write!(
                f,
                "workflow {workflow:?} was started as `{recorded_name}` with the input {}, ",
                show(recorded_input)
            )?;
            write!(
                f,
                "not with {}; go on with the stored input by `{recorded_name}::resume(id)`, or use another id",
                show(found_input)
            )
        } else {
            write!(
                f,
                "workflow {workflow:?} belongs to `{recorded_name}` (input {}), ",
                show(recorded_input)
            )?;
            write!(f, "not to `{found_name}` (input {}); use another id", show(found_input))
        }
    }
}

impl std::error::Error for InputMismatch {}

/// How a call of an entry point ended, if not with the workflow's value.
///
/// # Examples
/// ```
/// use durable_core::RunError;
/// let declined: RunError<String> = RunError::Failed("card declined".into());
/// assert_eq!(declined.to_string(), "card declined");
/// assert_eq!(declined.failed(), Some("card declined".to_owned()));
/// ```
#[derive(Debug, Clone)]
pub enum RunError<E> {
    /// The workflow returned its own error; it is recorded.
    Failed(E),
    /// The engine ended the run, or refused the call.
    Engine(Error),
}

impl<E> RunError<E> {
    /// The workflow's own error, if it was that.
    pub fn failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Engine(_) => None,
        }
    }
}

impl<E> From<Error> for RunError<E> {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(_) => None,
            Self::Engine(error) => std::error::Error::source(error),
        }
    }
}

/// The word for a kind of operation in errors.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Child => "child",
        Kind::Workflow => "workflow",
        Kind::Sleep => "sleep",
    }
}
