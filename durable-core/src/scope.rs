//! A position space and its sequence counter: the only place that hands out positions.
//! An operation takes its number when it begins, and a scope has at most one operation under way, so the
//! structure of the program decides every position and timing none. Branches get scopes of their own.
//! Knows no store and no types of the user.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::{CHILD, Error, Operation, Overlap, Unstructured};
use crate::key::{Position, Site};
use crate::run::{Ambient, Check, Run};
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, lock};

/// The positions of one workflow body, or of one branch.
pub(crate) struct Scope {
    pub(crate) run: Arc<Run>,
    /// The path of the branch; empty for the body of the workflow.
    path: Box<[u32]>,
    /// The construct, or the inline child, whose branch this is.
    label: Option<&'static str>,
    /// The scope of the operation whose branch this is.
    parent: Option<Arc<Scope>>,
    /// Whether the operation can end without having started this branch.
    is_optional: bool,
    next: AtomicU32,
    draws: AtomicU64,
    last: AtomicI64,
    under_way: Mutex<Option<UnderWay>>,
    /// How many streams go on beside what follows them here.
    beside: AtomicU32,
    /// The branch has lost: what is dropped of it is no part of the run any more.
    abandoned: AtomicBool,
    /// Only in a check: the body was ended, at an operation that is not recorded.
    is_over: AtomicBool,
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
    /// Whether this is a construct that need not have started all of its branches when what follows it is
    /// recorded: one starts no further branch once one has panicked, and one goes on beside what follows.
    fn is_open(&self) -> bool {
        self.kind == CONSTRUCT && (self.name == MAP || self.name == UNORDERED)
    }

    pub(crate) fn operation(&self) -> Operation {
        Operation::new(self.name, self.kind, &self.site)
    }
}

/// The word for a parallel construct in errors.
pub(crate) const CONSTRUCT: &str = "construct";

/// The name of the construct that runs one function on many items.
pub(crate) const MAP: &str = "map";

/// The name of the construct whose branches come out one by one.
pub(crate) const UNORDERED: &str = "unordered";

/// A position that an operation holds while it is under way. Dropped before [`Ticket::end`], it makes the
/// next operation of its scope an error, for only timing could have dropped it.
pub(crate) struct Ticket {
    pub(crate) scope: Arc<Scope>,
    pub(crate) position: Position,
    pub(crate) what: What,
    ended: bool,
    in_flight: bool,
}

impl Scope {
    /// The scope of a workflow's body.
    pub(crate) fn root(run: Arc<Run>) -> Arc<Self> {
        let started = run.started;
        Arc::new(Self::new(run, Box::default(), started))
    }

    fn new(run: Arc<Run>, path: Box<[u32]>, last: Timestamp) -> Self {
        let last = AtomicI64::new(last.as_millis());
        let (next, draws, under_way) = (AtomicU32::new(0), AtomicU64::new(0), Mutex::default());
        let (label, parent, is_optional, is_over) = (None, None, false, AtomicBool::new(false));
        let (beside, abandoned) = (AtomicU32::new(0), AtomicBool::new(false));
        Self {
            run,
            path,
            label,
            parent,
            is_optional,
            next,
            draws,
            last,
            under_way,
            beside,
            abandoned,
            is_over,
        }
    }

    /// Takes the next position for an operation that begins now.
    pub(crate) fn begin(self: &Arc<Self>, what: What) -> Result<Ticket, Error> {
        self.stay_over();
        Run::forget_unwinding();
        if let Some(fault) = self.run.refuses() {
            return Err(fault.clone());
        }
        let mut under_way = self.under_way();
        if let Some(first) = &*under_way {
            return Err(self.overlaps(first, &what));
        }
        *under_way = Some(UnderWay { what, dropped: false });
        let position = self.next(None);
        self.next.store(position.number() + 1, Ordering::Relaxed);
        drop(under_way);
        Ok(Ticket { scope: Arc::clone(self), position, what, ended: false, in_flight: false })
    }

    /// The scope of branch `index` of the operation `what` that began here at `position` and `started` then.
    pub(crate) fn branch(
        self: &Arc<Self>,
        position: &Position,
        what: What,
        index: u32,
        started: Timestamp,
    ) -> Arc<Self> {
        let path = position.path().iter().copied().chain([index]).collect();
        let scope = Self::new(Arc::clone(&self.run), path, started);
        let (label, parent) = (Some(what.name), Some(Arc::clone(self)));
        Arc::new(Self { label, parent, is_optional: what.is_open(), ..scope })
    }

    /// Takes the next position for a marker that needs no time, if `takes` says so of it.
    pub(crate) fn mark(
        &self,
        what: What,
        takes: impl FnOnce(&Position) -> bool,
    ) -> Result<Option<Position>, Error> {
        self.stay_over();
        Run::forget_unwinding();
        if let Some(fault) = self.run.refuses() {
            return Err(fault.clone());
        }
        let under_way = self.under_way();
        if let Some(first) = &*under_way {
            return Err(self.overlaps(first, &what));
        }
        let position = self.next(Some(what.name));
        if !takes(&position) {
            return Ok(None);
        }
        self.next.store(position.number() + 1, Ordering::Relaxed);
        Ok(Some(position))
    }

    /// The next position: not one where the marker of a patch is recorded other than `patch`, since the code asks
    /// for that no more.
    fn next(&self, patch: Option<&str>) -> Position {
        let mut position = Position::within(&self.path, self.next.load(Ordering::Relaxed));
        while self.run.history.marker(position.path()).is_some_and(|marker| patch != Some(marker)) {
            position = Position::within(&self.path, position.number() + 1);
        }
        position
    }

    fn overlaps(&self, first: &UnderWay, second: &What) -> Error {
        let how = if first.dropped { Overlap::Dropped } else { Overlap::Running };
        self.unstructured(&first.what, second, how)
    }

    /// That all operations have ended which began here, now that `around` ends whose branch this is.
    pub(crate) fn check_ended(&self, around: &What) -> Result<(), Error> {
        self.stay_over();
        match *self.under_way() {
            Some(first) => Err(self.unstructured(&first.what, around, Overlap::Left)),
            None => Ok(()),
        }
    }

    /// In a check: ends the body here, and those of the inline children around it.
    pub(crate) fn end_check(&self, check: &Check) -> ! {
        self.is_over.store(true, Ordering::Relaxed);
        let mut scope = self;
        while let Some(around) = scope.parent.as_deref().filter(|around| around.is_in_child()) {
            around.is_over.store(true, Ordering::Relaxed);
            scope = around;
        }
        check.end_body()
    }

    /// In a check: whether the body was ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Code that has caught what ended its body in a check gains nothing.
    fn stay_over(&self) {
        if let Some(check) = self.run.check().filter(|_| self.is_over()) {
            self.end_check(check);
        }
    }

    /// Whether an inline child is under way here.
    fn is_in_child(&self) -> bool {
        self.under_way().is_some_and(|around| around.what.kind == CHILD)
    }

    /// Whether an execution before this one came past this position: something is recorded there, or later.
    pub(crate) fn is_passed(&self, position: &Position) -> bool {
        let (history, mut path, mut scope) = (&self.run.history, position.path(), Some(self));
        if history.is_taken(path) {
            return true;
        }
        while let Some(branch) = scope {
            if history.first_after(path).is_some() {
                return true;
            }
            path = &path[..branch.path().len().saturating_sub(1)];
            scope = branch.parent.as_deref();
        }
        false
    }

    pub(crate) fn unstructured(&self, first: &What, second: &What, how: Overlap) -> Error {
        let (first, second) = (first.operation(), second.operation());
        Error::Unstructured(Box::new(Unstructured { workflow: self.run.id.clone(), first, second, how }))
    }

    /// The construct whose branch this is.
    pub(crate) fn label(&self) -> Option<&'static str> {
        self.label
    }

    /// Whether nothing else of the run can be under way besides an operation of this scope: it is the body of
    /// the workflow, or of inline children in a row, and in no shield.
    pub(crate) fn is_alone(&self) -> bool {
        if self.run.is_shielded() {
            return false;
        }
        let is_alone = |parent: &Arc<Self>| parent.is_in_child() && parent.is_alone();
        self.beside.load(Ordering::Relaxed) == 0 && self.parent.as_ref().is_none_or(is_alone)
    }

    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.is_optional
    }

    /// A stream begins here, which goes on beside what follows.
    pub(crate) fn open(&self) {
        self.beside.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that began here is dropped.
    pub(crate) fn close(&self) {
        self.beside.fetch_sub(1, Ordering::Relaxed);
    }

    /// The branch has lost: what its values call when they are dropped is no part of the run any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether this branch, one around it or the whole body is dropped before its end.
    pub(crate) fn is_abandoned(&self) -> bool {
        let here = self.abandoned.load(Ordering::Relaxed) || self.run.is_abandoned();
        here || self.parent.as_ref().is_some_and(|parent| parent.is_abandoned())
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
        lock(&self.under_way)
    }
}

impl Ticket {
    /// The scope of branch `index` of this operation, labelled with its name.
    pub(crate) fn branch(&self, index: u32) -> Arc<Scope> {
        self.scope.branch(&self.position, self.what, index, self.scope.last())
    }

    /// An operation belongs to the scope that it began in, whoever polls it.
    pub(crate) fn check_here(&self) -> Result<(), Error> {
        match Ambient::current() {
            Ambient::Inside(here) if Arc::ptr_eq(&here, &self.scope) => Ok(()),
            _ => Err(self.scope.unstructured(&self.what, &self.what, Overlap::Moved)),
        }
    }

    /// The future of the operation is dropped between two polls: even a panic comes to that by timing.
    pub(crate) fn drop_in_flight(&mut self) {
        self.in_flight = true;
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
        let by_timing = self.in_flight || !std::thread::panicking();
        *under_way = by_timing.then_some(UnderWay { what: self.what, dropped: true });
    }
}
