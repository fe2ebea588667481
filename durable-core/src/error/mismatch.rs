//! The errors with two sides: what was recorded and what was found, what ran first and what came between.
//! Each names both, where they stand in the source, and what to do.

use std::fmt;
use std::time::Duration;

use crate::key::{Position, StepKey, WorkflowId};
use crate::store::Kind;

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
    /// Nothing is recorded here, although the run came further: to the operation with this key, which is the
    /// recorded one of the error.
    Missing {
        /// The first operation that is recorded after the position.
        later: StepKey,
    },
    /// Another branch of a race than this run has, or than can decide it.
    Decision {
        /// The branch that is recorded to have decided it.
        branch: u32,
        /// How many branches this run has.
        branches: u32,
    },
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
            Difference::Missing { later } => {
                write!(
                    f,
                    "workflow {workflow:?} is not what was recorded: this run calls {found} at position {position}, where \
                     nothing is recorded, although {later}, {recorded}, was recorded after it {} ago",
                    Age(*age)
                )?;
                write!(f, "; the call was added, or its row was removed")?;
            }
            Difference::Decision { branch, branches } => {
                write!(
                    f,
                    "workflow {workflow:?} is not what was recorded: {found} at position {position} was decided by branch \
                     {branch} {} ago, ",
                    Age(*age)
                )?;
                if branch < branches {
                    write!(f, "by an error, but that branch of this run returns none; the code changed")?;
                } else {
                    write!(f, "but this run has no such branch among its {branches}; the code changed")?;
                }
            }
        }
        let key = match difference {
            Difference::Missing { later } => later.clone(),
            _ => StepKey::new(&recorded.name, position),
        };
        match difference {
            Difference::Operation { .. } | Difference::Missing { .. } | Difference::Decision { .. } => {
                let keep =
                    "keep the old way for such runs: `if durable::patched(\"…\") { new } else { old }`";
                write!(
                    f,
                    ". If you changed the code, {keep}; or run the build that recorded it, or give up"
                )?;
            }
            Difference::Arguments => write!(f, ". Sort what the steps are called for, or give up")?,
        }
        write!(f, " what comes from there on with `Engine::rewind({workflow:?}, {:?})`, ", key.as_str())?;
        write!(f, "or the whole run with `Engine::reset({workflow:?})`")
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
    /// The operation that began then, or that ended around it.
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
    /// The first had not ended when the second did, in a branch of which it began.
    Left,
}

impl fmt::Display for Unstructured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, first, second, how } = self;
        match how {
            Overlap::Running => write!(
                f,
                "workflow {workflow:?}: {second} began while {first} was still running in the same scope, so the scheduler \
                 would decide their order; run them with durable::join, scope or map, or durable::join!, join_all or \
                 future::map, or where the first to end decides, with durable::race! or select!"
            ),
            Overlap::Dropped => write!(
                f,
                "workflow {workflow:?}: {first} was dropped before it ended (select, timeout), then {second} was called, so \
                 timing would decide what a replay does; let it end, or race with durable::race! or select!"
            ),
            Overlap::Moved => write!(
                f,
                "workflow {workflow:?}: {first} began in one scope and was polled in another (a spawned task, another branch); \
                 await it where it was called, or make it a branch with durable::join!, join_all or future::map"
            ),
            Overlap::Left => write!(
                f,
                "workflow {workflow:?}: {first} had not ended when the branch of {second} did that it began in: it was dropped \
                 (select, timeout) or moved away, so timing would decide what a replay does; let it end, or race with durable::race! or select!"
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

/// The word for an inline child.
pub(crate) const CHILD: &str = "child";

/// The word for a kind of operation in errors.
pub(crate) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Step | Kind::Once => "step",
        Kind::Patch => "patch",
        Kind::Child => CHILD,
        Kind::Workflow => "workflow",
        Kind::Sleep => "sleep",
        Kind::Start => "start",
        Kind::Message => "send",
        Kind::Receive => "receive",
        Kind::SetEvent => "set_event",
        Kind::GetEvent => "get_event",
        Kind::Race => "race",
        Kind::TryJoin => "try_join",
        Kind::Next => "next",
    }
}
