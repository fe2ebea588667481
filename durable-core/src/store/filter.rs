//! Which runs are asked for. The one rule: a run that fits here is found by every store, and no other; what a store
//! can look up instead of going through all of its runs is its own affair. Knows no database.

use super::{CorruptRow, RunRecord, RunStatus};
use crate::clock::Timestamp;
use crate::key::WorkflowId;

/// Which runs: those that fit everything that is asked. [`Filter::all`] asks nothing.
///
/// The ids and the parent are looked up in the database; for everything else the store goes through the rows, some
/// 10,000 at a time, so that nobody waits for the whole of a large store.
///
/// # Examples
/// ```
/// use durable_core::{Filter, RunStatus};
/// let stuck = Filter::all().name("fulfil").status(RunStatus::Failed).status(RunStatus::Halted).id_prefix("order-");
/// # let _ = stuck;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a filter does nothing by itself"]
pub struct Filter {
    pub(super) statuses: Vec<RunStatus>,
    pub(super) name: Option<String>,
    pub(super) id_prefix: String,
    pub(super) parent: Option<WorkflowId>,
    pub(super) created: Span,
    pub(super) updated: Span,
    pub(super) is_waiting: bool,
}

/// A time from the first one on, and before the other one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
}

impl Span {
    fn has(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.before.is_none_or(|before| at < before)
    }
}

impl Filter {
    /// Every run.
    pub fn all() -> Self {
        Self {
            statuses: Vec::new(),
            name: None,
            id_prefix: String::new(),
            parent: None,
            created: Span::default(),
            updated: Span::default(),
            is_waiting: false,
        }
    }

    /// Those in this state; asked several times, those in any of these states.
    pub fn status(mut self, status: RunStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Those of the workflow with this name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Those whose id begins with this text, byte for byte.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = prefix.into();
        self
    }

    /// Those that this run has started, not those that they have started in their turn.
    pub fn parent(mut self, parent: &WorkflowId) -> Self {
        self.parent = Some(parent.clone());
        self
    }

    /// Those that were first started at this time or later.
    pub fn created_from(mut self, at: impl Into<Timestamp>) -> Self {
        self.created.from = Some(at.into());
        self
    }

    /// Those that were first started before this time.
    pub fn created_before(mut self, at: impl Into<Timestamp>) -> Self {
        self.created.before = Some(at.into());
        self
    }

    /// Those whose row was last written at this time or later: when it was started, taken up, given up or ended,
    /// or something was asked of it. A step changes no row of a run.
    pub fn updated_from(mut self, at: impl Into<Timestamp>) -> Self {
        self.updated.from = Some(at.into());
        self
    }

    /// Those whose row was last written before this time.
    pub fn updated_before(mut self, at: impl Into<Timestamp>) -> Self {
        self.updated.before = Some(at.into());
        self
    }

    /// Those that nobody executes before a time that stands in their row: they sleep, are delayed, or are to be
    /// taken up by whoever comes first.
    pub fn waiting(mut self) -> Self {
        self.is_waiting = true;
        self
    }

    /// Whether it can be told from ids and parents alone that a run fits, or at least that few can.
    #[cfg(feature = "sqlite")]
    pub(super) fn is_looked_up(&self) -> bool {
        let Self { statuses, name, id_prefix: _, parent, created, updated, is_waiting } = self;
        let any = Span::default();
        let all = statuses.is_empty() && name.is_none() && *created == any && *updated == any && !is_waiting;
        parent.is_some() || all
    }

    /// Whether `run` fits.
    pub fn fits(&self, run: &RunRecord) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&run.status))
            && self.name.as_ref().is_none_or(|name| *name == run.name)
            && run.id.as_str().starts_with(&self.id_prefix)
            && self.parent.as_ref().is_none_or(|parent| run.parent.as_ref() == Some(parent))
            && self.created.has(run.created)
            && self.updated.has(run.updated)
            && (!self.is_waiting || run.wake_at.is_some())
    }
}

/// A page of runs, and where the next one begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Those that fit, in the order of the bytes of their ids. A row that cannot be read stands as its error, if
    /// what it holds fits.
    pub runs: Vec<Result<RunRecord, CorruptRow>>,
    /// The bytes of the id from after which the next page is; `None` if there is no other.
    pub next: Option<Vec<u8>>,
}
