//! A store that asks its test before each call: who calls, on which thread, and whether it fails.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ops::ControlFlow;
use std::sync::Arc;

use durable::store::{
    Answer, Candidate, CorruptRow, EventRecord, Filter, Listed, MessageRecord, Op, OwnerId, Ownership,
    RunRecord, StepReader, StepRow, StepStore, StoreError, Wanted,
};
use durable::{Position, Timestamp, WorkflowId};

/// Is given the name of the call; its error is the call's.
pub(crate) type Before = Arc<dyn Fn(&'static str) -> Result<(), StoreError> + Send + Sync>;

pub(crate) struct Asks<S>(pub(crate) S, pub(crate) Before);

/// A store that fails at given writes, before or after it applied them; then the run that wrote is as good as
/// dead.
pub(crate) struct Faulty<S> {
    inner: S,
    writes: u32,
    faults: Vec<(u32, bool)>,
}

impl<S: StepStore> Faulty<S> {
    /// Fails at these writes, counted from 1; `true` is after the write was done.
    pub(crate) fn new(inner: S, faults: Vec<(u32, bool)>) -> Self {
        Self { inner, writes: 0, faults }
    }
}

impl<S: StepStore> StepStore for Faulty<S> {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        self.writes += 1;
        match self.faults.iter().find(|(write, _)| *write == self.writes) {
            None => self.inner.apply(ops),
            Some((_, false)) => {
                Err(StoreError::Unavailable { action: "write".into(), reason: "a test".into() })
            }
            Some((_, true)) => {
                self.inner.apply(ops)?;
                Err(StoreError::Unknown { reason: "a test".into() })
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.inner.reader()
    }

    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }
}

impl<S: StepStore> StepStore for Asks<S> {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        (self.1)("apply")?;
        self.0.apply(ops)
    }

    fn blocks(&self) -> bool {
        self.0.blocks()
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        Ok(Box::new(Asks(self.0.reader()?, Arc::clone(&self.1))))
    }

    fn owner(&self) -> OwnerId {
        self.0.owner()
    }
}

impl StepReader for Asks<Box<dyn StepReader>> {
    fn run(&mut self, id: &WorkflowId) -> Result<Option<RunRecord>, StoreError> {
        (self.1)("run")?;
        self.0.run(id)
    }

    fn ownership(&mut self, id: &WorkflowId) -> Result<Option<Ownership>, StoreError> {
        (self.1)("ownership")?;
        self.0.ownership(id)
    }

    fn runs(&mut self, filter: &Filter, after: Option<&[u8]>, limit: u32) -> Result<Listed, StoreError> {
        (self.1)("runs")?;
        self.0.runs(filter, after, limit)
    }

    fn position(&mut self, id: &WorkflowId, key: &str) -> Result<Option<Position>, StoreError> {
        (self.1)("position")?;
        self.0.position(id, key)
    }

    fn scan(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(StepRow<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (self.1)("scan")?;
        self.0.scan(id, after, visit)
    }

    fn inspect(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(Result<StepRow<'_>, CorruptRow>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (self.1)("inspect")?;
        self.0.inspect(id, after, visit)
    }

    fn due(
        &mut self,
        until: Timestamp,
        after: Option<&(Timestamp, WorkflowId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Candidate)>, StoreError> {
        (self.1)("due")?;
        self.0.due(until, after, limit)
    }

    fn next_due(&mut self, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        (self.1)("next_due")?;
        self.0.next_due(until)
    }

    fn expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WorkflowId>, StoreError> {
        (self.1)("expired")?;
        self.0.expired(now, limit)
    }

    fn next_deadline(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        (self.1)("next_deadline")?;
        self.0.next_deadline(now)
    }

    fn owners(&mut self) -> Result<Vec<OwnerId>, StoreError> {
        (self.1)("owners")?;
        self.0.owners()
    }

    fn interrupted(
        &mut self,
        owner: Option<&OwnerId>,
        after: Option<&WorkflowId>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        (self.1)("interrupted")?;
        self.0.interrupted(owner, after, limit)
    }

    fn wanted(&mut self, owner: &OwnerId) -> Result<Vec<(WorkflowId, Wanted)>, StoreError> {
        (self.1)("wanted")?;
        self.0.wanted(owner)
    }

    fn message(&mut self, id: &WorkflowId, topic: &str) -> Result<Option<MessageRecord>, StoreError> {
        (self.1)("message")?;
        self.0.message(id, topic)
    }

    fn messages(&mut self, id: &WorkflowId) -> Result<Vec<MessageRecord>, StoreError> {
        (self.1)("messages")?;
        self.0.messages(id)
    }

    fn event(&mut self, id: &WorkflowId, name: &str) -> Result<Option<EventRecord>, StoreError> {
        (self.1)("event")?;
        self.0.event(id, name)
    }

    fn events(&mut self, id: &WorkflowId) -> Result<Vec<EventRecord>, StoreError> {
        (self.1)("events")?;
        self.0.events(id)
    }

    fn version(&mut self) -> Result<u64, StoreError> {
        (self.1)("version")?;
        self.0.version()
    }

    fn tell(&mut self, waits: &[(WorkflowId, WorkflowId)]) {
        // It answers nothing that could be an error.
        _ = (self.1)("tell");
        self.0.tell(waits);
    }

    fn told(&mut self) -> Vec<(WorkflowId, WorkflowId)> {
        _ = (self.1)("told");
        self.0.told()
    }

    fn death_of(&self, owner: &OwnerId) -> Option<Box<dyn FnOnce() + Send>> {
        self.0.death_of(owner)
    }

    fn lives(&mut self, owner: &OwnerId) -> Result<bool, StoreError> {
        (self.1)("lives")?;
        self.0.lives(owner)
    }
}
