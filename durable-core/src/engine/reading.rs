//! What a store holds, for people and programs that look at it from outside: read page by page, so that neither a
//! long history nor a large store is ever held as a whole, and so that whoever else reads has its turn between.
//! The one rule: a row that cannot be read comes as an error in its place, and the others still come.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Engine;
use crate::error::Error;
use crate::key::{Position, WorkflowId};
use crate::store::{CorruptRow, Filter, Ownership, RunRecord, StepRecord, StepRow, StepStatus, StoreError};

/// So many operations of a history are read at once, or so many bytes of JSON: no more than one goes beyond.
const HISTORY_ROWS: usize = 256;
const HISTORY_BYTES: usize = 4 << 20;

/// So many runs are read at once.
const RUNS_PAGE: u32 = 256;

impl Engine {
    /// All stored runs in the order of their ids. A row that cannot be read comes as an error, and the others
    /// still come.
    pub fn runs(&self) -> Runs {
        self.list(&Filter::all())
    }

    /// The stored runs that fit `filter`, in the order of the bytes of their ids. They are read when they are asked
    /// for, in pages of at most 256 and about 4 MiB; `take` says how many at most. A row that cannot be read comes
    /// as an error if what is left of it fits.
    ///
    /// Parents and prefixes of ids are looked up; to find runs by anything else, the whole store is gone through,
    /// by reads of at most 10,000 rows each.
    ///
    /// # Errors
    /// [`Error::Read`] for a row that cannot be read, and as the last one if the store cannot be read.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error, Filter, RunStatus};
    /// # let engine = Engine::in_memory()?;
    /// let failed = Filter::all().name("fulfil").status(RunStatus::Failed);
    /// let page: Vec<_> = engine.list(&failed).take(50).collect::<Result<_, _>>()?;
    /// if let Some(last) = page.last() {
    ///     let next = engine.list(&failed).after(&last.id).take(50);
    ///     # drop(next);
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn list(&self, filter: &Filter) -> Runs {
        Runs {
            engine: self.clone(),
            filter: filter.clone(),
            page: Vec::new().into_iter(),
            next: Some(Vec::new()),
        }
    }

    /// What is recorded of a run: its own row, and every operation in the order of the positions, whatever state
    /// it is in and whoever executes it. The operations are read when they are asked for, in pages of at most 256
    /// and about 4 MiB; each page is what was committed when it was read.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], and [`Error::Store`] if the store cannot be read. A row that is damaged comes as an
    /// error in its place, the run's own by [`RunHistory::run`].
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// fn retried(engine: &Engine, id: &str) -> Result<Vec<String>, Error> {
    ///     let mut keys = Vec::new();
    ///     for step in engine.history(id)? {
    ///         let step = step?;
    ///         if step.attempts > 1 {
    ///             keys.push(format!("{}: {}", step.key(), step.output));
    ///         }
    ///     }
    ///     Ok(keys)
    /// }
    /// # let engine = Engine::in_memory()?;
    /// assert!(matches!(retried(&engine, "order-123"), Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn history(&self, id: impl AsRef<str>) -> Result<RunHistory, Error> {
        let id = WorkflowId::new(id)?;
        let run = match self.core.reader().run(&id) {
            Ok(Some(run)) => Ok(run),
            Ok(None) => return Err(Error::UnknownRun { workflow: id }),
            Err(damaged @ StoreError::Corrupt(_)) => Err(Error::store(&id, damaged)),
            Err(source) => return Err(Error::store(&id, source)),
        };
        let page = Vec::new().into_iter();
        Ok(RunHistory { engine: self.clone(), id, run: Box::new(run), page, after: None, done: false })
    }
}

impl Engine {
    /// Says of those of `steps` which run at most once and are under way that they are. Their rows have failed already,
    /// for whoever takes the run up; they are under way as long as it lives that recorded them.
    pub(super) fn tell_begun<'s>(
        &self,
        id: &WorkflowId,
        steps: impl Iterator<Item = &'s mut StepRecord>,
    ) -> Result<(), Error> {
        let mut begun = steps.filter(|step| step.is_begun()).peekable();
        if begun.peek().is_none() {
            return Ok(());
        }
        // After the rows: what had begun there, and whose run still is executed by the same, has not ended since.
        let ownership = self.core.reader().ownership(id).map_err(|source| Error::store(id, source))?;
        let Some(Ownership { epoch, owner }) = ownership else { return Ok(()) };
        if self.core.is_live(id, owner.as_ref())? {
            for step in begun.filter(|step| step.epoch == epoch) {
                (step.status, step.output) = (StepStatus::Begun, "null".to_owned());
            }
        }
        Ok(())
    }
}

/// A run as it is recorded: its row, and an iterator over its operations. See [`Engine::history`].
///
/// An operation that runs has no row yet: a history holds what has ended. Only a step that runs at most once is there
/// while it runs, as [`StepStatus::Begun`].
#[derive(Debug)]
#[must_use = "a history is read by iterating over it"]
pub struct RunHistory {
    engine: Engine,
    id: WorkflowId,
    run: Box<Result<RunRecord, Error>>,
    page: std::vec::IntoIter<Result<StepRecord, CorruptRow>>,
    after: Option<Position>,
    done: bool,
}

impl RunHistory {
    /// The run's own row, as it was when the history was asked for.
    ///
    /// # Errors
    /// [`Error::Store`] if the row is damaged.
    pub fn run(&self) -> Result<&RunRecord, Error> {
        (*self.run).as_ref().map_err(Error::clone)
    }

    /// The same from after `position` on: the last one of a page that was shown before, say. What is recorded
    /// meanwhile moves nothing, since a position is never given to another operation.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::store::StepRecord;
    /// # use durable_core::{Engine, Error, Position};
    /// fn page(engine: &Engine, id: &str, after: Option<Position>) -> Result<Vec<StepRecord>, Error> {
    ///     let history = engine.history(id)?;
    ///     let rest = if let Some(position) = after { history.after(position) } else { history };
    ///     rest.take(50).collect()
    /// }
    /// # let engine = Engine::in_memory()?;
    /// assert!(matches!(page(&engine, "order-123", None), Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn after(mut self, position: Position) -> Self {
        (self.page, self.done) = (Vec::new().into_iter(), false);
        self.after = Some(position);
        self
    }

    /// Reads the next page. It ends with a row that can be read, since the next one is found by its position.
    fn read(&self) -> Result<Vec<Result<StepRecord, CorruptRow>>, Error> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let read = self.engine.core.reader().inspect(&self.id, self.after.as_ref(), &mut |row| {
            let row = row.map(StepRow::into_record);
            bytes +=
                row.as_ref().map_or(0, |step| step.output.len() + step.args.as_ref().map_or(0, String::len));
            let is_full = row.is_ok() && (rows.len() + 1 >= HISTORY_ROWS || bytes >= HISTORY_BYTES);
            rows.push(row);
            if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.map_err(|source| Error::store(&self.id, source))?;
        self.engine.tell_begun(&self.id, rows.iter_mut().flatten())?;
        Ok(rows)
    }
}

impl Iterator for RunHistory {
    type Item = Result<StepRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.done {
            match self.read() {
                Ok(rows) => {
                    let last = rows.last().and_then(|row| row.as_ref().ok());
                    // A page that cannot be gone on from is the last one.
                    self.done = last.is_none();
                    self.after = last.map(|step| step.position.clone());
                    self.page = rows.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        let row = self.page.next()?;
        Some(row.map_err(|damaged| Error::Store {
            workflow: self.id.clone(),
            source: Arc::new(StoreError::Corrupt(damaged)),
        }))
    }
}

/// The runs of a store that fit a filter, read page by page. See [`Engine::list`].
#[derive(Debug)]
#[must_use = "runs are read by iterating over them"]
pub struct Runs {
    engine: Engine,
    filter: Filter,
    page: std::vec::IntoIter<Result<RunRecord, CorruptRow>>,
    /// Where the next page begins, if there is one.
    next: Option<Vec<u8>>,
}

impl Runs {
    /// The same from after this id on, whether there is such a run or not: the last one of a page that was shown
    /// before, say. Runs that are started, changed or deleted meanwhile move no other.
    pub fn after(mut self, id: impl AsRef<str>) -> Self {
        (self.page, self.next) = (Vec::new().into_iter(), Some(id.as_ref().as_bytes().to_vec()));
        self
    }
}

impl Iterator for Runs {
    type Item = Result<RunRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.next() {
                return Some(row.map_err(|damaged| Error::Read(Arc::new(StoreError::Corrupt(damaged)))));
            }
            let after = self.next.take()?;
            match self.engine.core.reader().runs(&self.filter, Some(&after), RUNS_PAGE) {
                Ok(listed) => (self.page, self.next) = (listed.runs.into_iter(), listed.next),
                Err(source) => return Some(Err(Error::Read(Arc::new(source)))),
            }
        }
    }
}
