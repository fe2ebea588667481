//! A position space and its sequence counter: the only place that hands out positions.
//! An operation takes its number when it begins, and a scope has at most one operation under way, so the
//! structure of the program decides every position and timing none. Branches get scopes of their own.
//! Knows no store and no types of the user.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::error::{Error, Operation, Overlap, Unstructured};
use crate::key::{Position, Site};
use crate::run::{Ambient, Run};

/// The positions of one workflow body, or of one branch.
pub(crate) struct Scope {
    pub(crate) run: Arc<Run>,
    /// The path of the branch; empty for the body of the workflow.
    path: Box<[u32]>,
    /// The construct, or the inline child, whose branch this is.
    label: Option<&'static str>,
    next: AtomicU32,
    draws: AtomicU64,
    last: AtomicI64,
    under_way: Mutex<Option<UnderWay>>,
}

#[derive(Clone, Copy)]
struct UnderWay {
    what: What,
    dropped: bool,
}

/// What an operation is called where it stands in the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) site: Site,
}

impl What {
    pub(crate) fn operation(&self) -> Operation {
        Operation::new(self.name, self.kind, &self.site)
    }
}

/// A position that an operation holds while it is under way. Dropped before [`Ticket::end`], it makes the
/// next operation of its scope an error, for only timing could have dropped it.
pub(crate) struct Ticket {
    pub(crate) scope: Arc<Scope>,
    pub(crate) position: Position,
    pub(crate) what: What,
    ended: bool,
}

impl Scope {
    /// The scope of a workflow's body.
    pub(crate) fn root(run: Arc<Run>) -> Arc<Self> {
        let started = run.started;
        Arc::new(Self::new(run, Box::default(), None, started))
    }

    fn new(run: Arc<Run>, path: Box<[u32]>, label: Option<&'static str>, last: Timestamp) -> Self {
        let last = AtomicI64::new(last.as_millis());
        let (next, draws, under_way) = (AtomicU32::new(0), AtomicU64::new(0), Mutex::default());
        Self { run, path, label, next, draws, last, under_way }
    }

    /// Takes the next position for an operation that begins now.
    pub(crate) fn begin(self: &Arc<Self>, what: What) -> Result<Ticket, Error> {
        if let Some(fault) = self.run.fault() {
            return Err(fault.clone());
        }
        let mut under_way = self.under_way();
        if let Some(first) = &*under_way {
            let how = if first.dropped { Overlap::Dropped } else { Overlap::Running };
            return Err(self.unstructured(&first.what, &what, how));
        }
        *under_way = Some(UnderWay { what, dropped: false });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        drop(under_way);
        let path: Vec<u32> = self.path.iter().copied().chain([number]).collect();
        // A scope's path is even, so the path of a position in it is odd.
        let position = Position::new(path)
            .ok_or_else(|| Error::TooManySteps { workflow: self.run.id.clone(), steps_max: number })?;
        Ok(Ticket { scope: Arc::clone(self), position, what, ended: false })
    }

    fn unstructured(&self, first: &What, second: &What, how: Overlap) -> Error {
        let (first, second) = (first.operation(), second.operation());
        Error::Unstructured(Box::new(Unstructured { workflow: self.run.id.clone(), first, second, how }))
    }

    /// The construct whose branch this is.
    pub(crate) fn label(&self) -> Option<&'static str> {
        self.label
    }

    pub(crate) fn path(&self) -> &[u32] {
        &self.path
    }

    /// The time of the last recorded operation; at first, of the run's start.
    pub(crate) fn last(&self) -> Timestamp {
        Timestamp::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// Moves the scope's time forward to `at`.
    pub(crate) fn pass(&self, at: Timestamp) {
        self.last.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    /// The next number of the counter that random values are derived from.
    pub(crate) fn draw(&self) -> u64 {
        self.draws.fetch_add(1, Ordering::Relaxed)
    }

    fn under_way(&self) -> MutexGuard<'_, Option<UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The scope of branch `index` of this operation, labelled with its name.
    pub(crate) fn branch(&self, index: u32) -> Arc<Scope> {
        let path = self.position.path().iter().copied().chain([index]).collect();
        Arc::new(Scope::new(Arc::clone(&self.scope.run), path, Some(self.what.name), self.scope.last()))
    }

    /// An operation belongs to the scope that it began in, whoever polls it.
    pub(crate) fn check_here(&self) -> Result<(), Error> {
        match Ambient::current() {
            Ambient::Inside(here) if Arc::ptr_eq(&here, &self.scope) => Ok(()),
            _ => Err(self.scope.unstructured(&self.what, &self.what, Overlap::Moved)),
        }
    }

    /// The operation has ended, at `at` by what is recorded.
    pub(crate) fn end(mut self, at: Timestamp) {
        self.scope.pass(at);
        *self.scope.under_way() = None;
        self.ended = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut under_way = self.scope.under_way();
        // A panic passes every operation in the order of the program; only a drop without one depends on
        // timing.
        *under_way = (!std::thread::panicking()).then_some(UnderWay { what: self.what, dropped: true });
    }
}
