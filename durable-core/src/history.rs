//! What a run has recorded before this execution, read once at its start and asked by position.
//! The one rule: a step is only handed out for its own position, so two branches can never swap results.
//! All steps are known from the start, so what is missing, left over or not in its place shows without a read;
//! the outputs alone, which can be large, may have to be read again.
//! Knows no SQL and no types of the user.

mod decision;
mod escaped;
mod shapes;
mod texts;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use self::decision::Decision;
use self::shapes::{Shape, Shapes};
pub(crate) use self::texts::Text;
use self::texts::{Texts, Window};
use crate::clock::Timestamp;
use crate::key::{Position, StepKey, WorkflowId};
use crate::store::{CorruptRow, Kind, StepReader, StepRow, StepStatus, StoreError};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// So many rows are loaded at once: what else waits for the reader has its turn between.
const LOAD_ROWS: usize = 4_096;

/// The recorded steps of a run, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct History {
    steps: Vec<Step>,
    /// The paths of their positions, one after the other.
    paths: Vec<u32>,
    shapes: Shapes,
    texts: Texts,
    /// Which branch it was, of what timing decides.
    decisions: BTreeMap<usize, Decision>,
    /// The step that was reached last: the next one is mostly the one after it.
    near: AtomicUsize,
    has_markers: bool,
}

/// What is kept of a row for all of the run.
#[derive(Debug)]
struct Step {
    timestamp: Timestamp,
    args_fingerprint: Option<u64>,
    /// Where its path ends in [`History::paths`].
    path_end: u32,
    shape: u32,
    attempts: u32,
    status: StepStatus,
    reached: AtomicBool,
}

/// A recorded step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded<'h> {
    history: &'h History,
    pub(crate) number: usize,
}

impl<'h> Recorded<'h> {
    fn step(self) -> &'h Step {
        &self.history.steps[self.number]
    }

    fn shape(self) -> &'h Shape {
        self.history.shapes.get(self.step().shape)
    }

    pub(crate) fn path(self) -> &'h [u32] {
        self.history.path(self.number)
    }

    pub(crate) fn key(self) -> StepKey {
        StepKey::at(self.name(), self.path())
    }

    pub(crate) fn name(self) -> &'h str {
        &self.shape().name
    }

    pub(crate) fn kind(self) -> Kind {
        self.shape().kind
    }

    /// The construct whose branch it stands in.
    pub(crate) fn scope(self) -> Option<&'h str> {
        self.shape().scope.as_deref()
    }

    pub(crate) fn site(self) -> &'h str {
        &self.shape().site
    }

    pub(crate) fn build(self) -> u64 {
        self.shape().build
    }

    pub(crate) fn status(self) -> StepStatus {
        self.step().status
    }

    pub(crate) fn args_fingerprint(self) -> Option<u64> {
        self.step().args_fingerprint
    }

    /// Whether it says that a step has begun which runs at most once, and not what became of it.
    pub(crate) fn is_begun(self) -> bool {
        self.kind() == Kind::Once && self.attempts() == 0
    }

    pub(crate) fn attempts(self) -> u32 {
        self.step().attempts
    }

    pub(crate) fn timestamp(self) -> Timestamp {
        self.step().timestamp
    }

    /// The value or the error, if it is in memory; else [`History::read`] has it. It is taken once.
    pub(crate) fn output(self) -> Option<Text> {
        self.history.texts.take(self.number)
    }

    /// Which branch it was, if timing decides that.
    pub(crate) fn decision(self) -> Option<&'h Decision> {
        self.history.decisions.get(&self.number)
    }

    fn is_below(self, path: &[u32]) -> bool {
        self.path().len() > path.len() && self.path().starts_with(path)
    }

    /// Whether this is the row that was loaded for it.
    fn is_of(self, row: &StepRow<'_>) -> bool {
        self.path() == row.position.path() && self.timestamp() == row.timestamp && self.status() == row.status
    }

    /// The error for a row that was changed since it was loaded.
    fn gone(self, id: &WorkflowId) -> StoreError {
        let reason = "it is not what it was when the run was taken up".to_owned();
        CorruptRow { table: "steps", key: format!("{id}, {}", self.key()), reason }.into()
    }
}

impl History {
    /// None yet; the outputs of those to be loaded have room for so many bytes.
    pub(crate) fn with_room(bytes_max: usize) -> Self {
        Self { texts: Texts::with_room(bytes_max), ..Self::default() }
    }

    /// All steps of the run `id` as they are at one moment; the reader is held until they are loaded.
    pub(crate) fn whole(
        bytes_max: usize,
        id: &WorkflowId,
        reader: &mut dyn StepReader,
    ) -> Result<Self, StoreError> {
        let mut history = Self::with_room(bytes_max);
        history.load_rows(id, reader, usize::MAX)?;
        Ok(history)
    }

    /// Loads the next steps of the run `id`; whether there can be more.
    pub(crate) fn load(&mut self, id: &WorkflowId, reader: &mut dyn StepReader) -> Result<bool, StoreError> {
        self.load_rows(id, reader, LOAD_ROWS)
    }

    fn load_rows(
        &mut self,
        id: &WorkflowId,
        reader: &mut dyn StepReader,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        let after = self.all().next_back().and_then(|last| Position::new(last.path()));
        let mut rows = 0;
        reader.scan(id, after.as_ref(), &mut |row| {
            self.push(&row);
            rows += 1;
            if rows < rows_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if rows < rows_max {
            self.texts.close();
        }
        Ok(rows == rows_max)
    }

    fn push(&mut self, row: &StepRow<'_>) {
        self.has_markers |= row.kind == Kind::Patch;
        let step = Step {
            timestamp: row.timestamp,
            args_fingerprint: row.args_fingerprint,
            path_end: 0,
            shape: self.shapes.number(row),
            attempts: row.attempts,
            status: row.status,
            reached: AtomicBool::new(false),
        };
        self.decisions.extend(Decision::read(row).map(|decision| (self.len(), decision)));
        self.add(step, row.position.path(), Some(row.output));
    }

    fn add(&mut self, mut step: Step, path: &[u32], output: Option<&str>) {
        debug_assert!(
            self.all().next_back().is_none_or(|last| last.path() < path),
            "a store reads steps in order"
        );
        self.texts.load(self.len(), output);
        self.paths.extend_from_slice(path);
        // Before a u32 is too small, the paths take 16 GiB.
        step.path_end = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
        self.steps.push(step);
    }

    /// Reads the output of step `number` of the run `id`, and some of those that follow, as long as they are
    /// what was loaded.
    pub(crate) fn read(
        &self,
        id: &WorkflowId,
        number: usize,
        reader: &mut dyn StepReader,
    ) -> Result<Text, StoreError> {
        // Somebody else may have read it meanwhile.
        if let Some(text) = self.texts.take(number) {
            return Ok(text);
        }
        let after = number.checked_sub(1).and_then(|before| Position::new(self.path(before)));
        let (rows, mut window) = (self.texts.rows_from(number), Window::at(number));
        let scanned = reader.scan(id, after.as_ref(), &mut |row| {
            let is_next = window.next() < self.len() && self.at(window.next()).is_of(&row);
            if is_next && window.push(row.output).is_some() && !window.is_full(rows) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        // A row that comes later and cannot be read is told when it is asked for.
        self.texts.insert(window).ok_or_else(|| scanned.err().unwrap_or_else(|| self.at(number).gone(id)))
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    fn at(&self, number: usize) -> Recorded<'_> {
        Recorded { history: self, number }
    }

    /// The step whose output `text` is.
    pub(crate) fn step_of(&self, text: &Text) -> Recorded<'_> {
        self.at(text.number)
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = Recorded<'_>> {
        (0..self.len()).map(|number| self.at(number))
    }

    fn path(&self, number: usize) -> &[u32] {
        let start = number.checked_sub(1).map_or(0, |before| self.steps[before].path_end);
        &self.paths[start as usize..self.steps[number].path_end as usize]
    }

    /// What is recorded at the position with this path; it counts as reached from now on.
    pub(crate) fn reach(&self, path: &[u32]) -> Option<Recorded<'_>> {
        let near = self.near.load(Ordering::Relaxed);
        let is_near = near < self.len() && self.path(near) == path;
        let step = if is_near { self.at(near) } else { self.find(path)? };
        self.near.store(step.number + 1, Ordering::Relaxed);
        step.step().reached.store(true, Ordering::Relaxed);
        Some(step)
    }

    /// The name of the patch whose marker is recorded at the position with this path.
    pub(crate) fn marker(&self, path: &[u32]) -> Option<&str> {
        let step = if self.has_markers { self.find(path) } else { None };
        step.filter(|step| step.kind() == Kind::Patch).map(Recorded::name)
    }

    /// Whether anything is recorded at the position with this path or below it.
    pub(crate) fn is_taken(&self, path: &[u32]) -> bool {
        self.after(|other| other < path).is_some_and(|step| step.path().starts_with(path))
    }

    /// The first step recorded in a scope below the position with this path.
    pub(crate) fn first_below(&self, path: &[u32]) -> Option<Recorded<'_>> {
        self.after(|other| other <= path).filter(|step| step.is_below(path))
    }

    /// The first step recorded after the position with this path, in its scope or below that.
    pub(crate) fn first_after(&self, path: &[u32]) -> Option<Recorded<'_>> {
        let (number, scope) = path.split_last()?;
        let is_before = |other: &[u32]| match other.get(..scope.len()) {
            Some(outer) if outer == scope => other.get(scope.len()).is_none_or(|other| other <= number),
            _ => other < scope,
        };
        self.after(is_before).filter(|step| step.path().starts_with(scope))
    }

    /// The operation `name` that is recorded nearest to `position` in the same scope, if it is recorded there
    /// at all.
    pub(crate) fn nearest(&self, name: &str, kind: Kind, position: &Position) -> Option<StepKey> {
        let distance = |step: Recorded<'_>| {
            let (number, scope) = step.path().split_last()?;
            let alike = scope == position.scope() && step.kind().is_like(kind) && step.name() == name;
            alike.then(|| number.abs_diff(position.number()))
        };
        let alike = self.all().filter_map(|step| Some((distance(step)?, step)));
        alike.min_by_key(|(distance, _)| *distance).map(|(_, step)| step.key())
    }

    /// The recorded steps that this execution has not come to. What lies in an inline child that was reached
    /// as a whole is not counted.
    pub(crate) fn unreached(&self) -> Vec<StepKey> {
        let mut skipped: Option<&[u32]> = None;
        let mut keys = Vec::new();
        for step in self.all() {
            if skipped.is_some_and(|child| step.is_below(child)) {
                continue;
            }
            // A marker whose patch is gone from the code is of no more use.
            if step.kind() != Kind::Patch && !step.step().reached.load(Ordering::Relaxed) {
                keys.push(step.key());
            } else if step.kind() == Kind::Child {
                skipped = Some(step.path());
            }
        }
        keys
    }

    /// What is recorded below the position with this path, but for these branches, is none of this execution's:
    /// the others have lost.
    pub(crate) fn pass_over(&self, path: &[u32], but_for: impl Fn(u32) -> bool) {
        let first = self.count(|other| other <= path);
        let below = (first..self.len()).map(|number| self.at(number)).take_while(|step| step.is_below(path));
        for step in below.filter(|step| !but_for(step.path()[path.len()])) {
            step.step().reached.store(true, Ordering::Relaxed);
        }
    }

    /// Whether any of the steps at `positions` is the decision of a race.
    pub(crate) fn holds_decision(&self, positions: &[Position]) -> bool {
        let found = positions.iter().filter_map(|position| self.find(position.path()));
        found.map(Recorded::kind).any(Kind::is_decision)
    }

    /// Forgets the steps at `positions`.
    pub(crate) fn remove(&mut self, positions: &[Position]) {
        if positions.is_empty() {
            return;
        }
        let left = Self::with_room(self.texts.bytes_max());
        let Self { steps, paths, shapes, texts, mut decisions, has_markers, .. } =
            std::mem::replace(self, left);
        (self.shapes, self.has_markers) = (shapes, has_markers);
        let mut start = 0;
        for (number, step) in steps.into_iter().enumerate() {
            let (output, end) = (texts.take(number), step.path_end as usize);
            let path = &paths[start..end];
            start = end;
            let decision = decisions.remove(&number);
            if positions.binary_search_by(|position| position.path().cmp(path)).is_err() {
                self.decisions.extend(decision.map(|decision| (self.len(), decision)));
                self.add(step, path, output.as_ref().map(Text::as_str));
            }
        }
        self.texts.close();
    }

    fn find(&self, path: &[u32]) -> Option<Recorded<'_>> {
        self.after(|other| other < path).filter(|step| step.path() == path)
    }

    /// The first step that does not come before what `is_before` tells, if there is one.
    fn after(&self, is_before: impl Fn(&[u32]) -> bool) -> Option<Recorded<'_>> {
        let number = self.count(is_before);
        (number < self.len()).then(|| self.at(number))
    }

    /// How many steps come before what `is_before` tells.
    fn count(&self, is_before: impl Fn(&[u32]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if is_before(self.path(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests;
