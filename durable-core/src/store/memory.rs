//! A store that is gone with its last handle: the specification in the plainest code, and the store of tests.
//! Every op means here what it means in every store; `contract` compares them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Answer, Claim, CorruptRow, End, Epoch, Finish, Op, OwnerId, Record, Release, Reset, Rewind, RunRecord,
    RunStatus, Start, StepReader, StepRecord, StepStore, StoreError,
};
use crate::draw;
use crate::key::{Position, WorkflowId};

/// The store behind `Engine::in_memory`.
///
/// # Examples
/// ```
/// use durable_core::Engine;
/// use durable_core::store::memory::MemoryStore;
/// let engine = Engine::builder().store(MemoryStore::default())?;
/// # Ok::<(), durable_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    owner: OwnerId,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let owner = OwnerId(format!("memory-{:016x}", draw::fresh()).into());
        Self { tables: Arc::default(), owner }
    }
}

#[derive(Debug, Default)]
struct Tables {
    workflows: BTreeMap<WorkflowId, RunRecord>,
    steps: HashMap<WorkflowId, BTreeMap<Position, StepRecord>>,
    epoch: i64,
}

impl StepStore for MemoryStore {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let mut tables = lock(&self.tables);
        Ok(ops.iter().map(|op| tables.apply(op)).collect())
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        Ok(Box::new(MemoryReader { tables: Arc::clone(&self.tables), owner: self.owner.clone() }))
    }

    fn owner(&self) -> OwnerId {
        self.owner.clone()
    }
}

impl Tables {
    fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::Start(start) => self.start(start),
            Op::Claim(claim) => self.claim(claim),
            Op::Record(record) => self.record(record),
            Op::Finish(finish) => self.finish(finish),
            Op::Release(release) => self.release(release),
            Op::Rewind(rewind) => self.rewind(rewind),
            Op::Reset(reset) => self.reset(reset),
        }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epoch += 1;
        Epoch(self.epoch)
    }

    /// The run with this id, while its epoch is `epoch`.
    fn at(&mut self, id: &WorkflowId, epoch: Epoch) -> Option<&mut RunRecord> {
        self.workflows.get_mut(id).filter(|run| run.epoch == epoch)
    }

    /// The run with this id, while somebody owns it with `epoch`.
    fn owned(&mut self, id: &WorkflowId, epoch: Epoch) -> Option<&mut RunRecord> {
        self.at(id, epoch).filter(|run| run.owner.is_some())
    }

    fn start(&mut self, start: &Start) -> Answer {
        if let Some(run) = self.workflows.get(&start.id) {
            let repeated = run.nonce == start.nonce && run.owner.as_ref() == Some(&start.owner);
            return if repeated { Answer::Started(run.epoch) } else { Answer::Exists };
        }
        let epoch = self.next_epoch();
        let run = RunRecord {
            id: start.id.clone(),
            name: start.name.clone(),
            status: RunStatus::Running,
            input: start.input.clone(),
            output: None,
            error: None,
            created: start.at,
            updated: start.at,
            owner: Some(start.owner.clone()),
            epoch,
            parent: start.parent.clone(),
            recoveries: 0,
            nonce: start.nonce,
            seed: start.seed,
            fingerprint: start.fingerprint,
            edited: false,
        };
        self.workflows.insert(start.id.clone(), run);
        Answer::Started(epoch)
    }

    fn claim(&mut self, claim: &Claim) -> Answer {
        if self.at(&claim.id, claim.expected).is_none() {
            return Answer::Lost;
        }
        let epoch = self.next_epoch();
        if let Some(run) = self.workflows.get_mut(&claim.id) {
            run.status = RunStatus::Running;
            (run.output, run.error) = (None, None);
            (run.owner, run.epoch, run.updated) = (Some(claim.owner.clone()), epoch, claim.at);
            run.recoveries = if claim.interrupted { run.recoveries.saturating_add(1) } else { 0 };
        }
        if let Some(steps) = self.steps.get_mut(&claim.id) {
            steps.retain(|position, _| !claim.drop.contains(position));
        }
        Answer::Claimed(epoch)
    }

    fn record(&mut self, record: &Record) -> Answer {
        if self.owned(&record.id, record.step.epoch).is_none() {
            return Answer::Fenced;
        }
        let steps = self.steps.entry(record.id.clone()).or_default();
        match steps.get(&record.step.position) {
            Some(recorded) if *recorded != record.step => Answer::Fenced,
            _ => {
                steps.insert(record.step.position.clone(), record.step.clone());
                Answer::Done
            }
        }
    }

    fn finish(&mut self, finish: &Finish) -> Answer {
        let (status, output, error) = match &finish.end {
            End::Completed(output) => (RunStatus::Completed, Some(output.clone()), None),
            End::Failed(error) => (RunStatus::Failed, None, Some(error.clone())),
            End::Halted(fault) => (RunStatus::Halted, None, Some(fault.clone())),
        };
        let Some(run) = self.at(&finish.id, finish.epoch) else { return Answer::Fenced };
        if run.owner.is_none() {
            let repeated = (run.status, &run.output, &run.error) == (status, &output, &error);
            return if repeated { Answer::Done } else { Answer::Fenced };
        }
        (run.status, run.output, run.error, run.owner, run.updated) =
            (status, output, error, None, finish.at);
        Answer::Done
    }

    fn release(&mut self, release: &Release) -> Answer {
        let Some(run) = self.at(&release.id, release.epoch) else { return Answer::Fenced };
        if run.status != RunStatus::Running {
            return Answer::Fenced;
        }
        if run.owner.take().is_some() {
            (run.error, run.updated) = (release.panicked.clone(), release.at);
        }
        Answer::Done
    }

    fn rewind(&mut self, rewind: &Rewind) -> Answer {
        if self.at(&rewind.id, rewind.expected).is_none() {
            return Answer::Lost;
        }
        let epoch = self.next_epoch();
        if let Some(run) = self.workflows.get_mut(&rewind.id) {
            run.status = RunStatus::Running;
            (run.output, run.error, run.owner) = (None, None, None);
            (run.epoch, run.updated, run.recoveries) = (epoch, rewind.at, 0);
        }
        let steps = self.steps.entry(rewind.id.clone()).or_default();
        let before = steps.len();
        steps.retain(|position, _| *position < rewind.from && !rewind.from.is_below(position));
        Answer::Dropped((before - steps.len()) as u64)
    }

    fn reset(&mut self, reset: &Reset) -> Answer {
        if self.at(&reset.id, reset.expected).is_none() {
            return Answer::Lost;
        }
        self.workflows.remove(&reset.id);
        self.steps.remove(&reset.id);
        Answer::Done
    }
}

#[derive(Debug)]
struct MemoryReader {
    tables: Arc<Mutex<Tables>>,
    owner: OwnerId,
}

impl StepReader for MemoryReader {
    fn run(&mut self, id: &WorkflowId) -> Result<Option<RunRecord>, StoreError> {
        Ok(lock(&self.tables).workflows.get(id).cloned())
    }

    fn runs(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Result<RunRecord, CorruptRow>>, StoreError> {
        let tables = lock(&self.tables);
        let later = tables.workflows.values().filter(|run| after.is_none_or(|after| run.id.as_str() > after));
        Ok(later.take(limit as usize).cloned().map(Ok).collect())
    }

    fn steps(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        limit: u32,
    ) -> Result<Vec<StepRecord>, StoreError> {
        let tables = lock(&self.tables);
        let Some(steps) = tables.steps.get(id) else { return Ok(Vec::new()) };
        let later = steps.values().filter(|step| after.is_none_or(|after| step.position > *after));
        Ok(later.take(limit as usize).cloned().collect())
    }

    fn lives(&mut self, owner: &OwnerId) -> Result<bool, StoreError> {
        Ok(*owner == self.owner)
    }
}

fn lock(tables: &Mutex<Tables>) -> MutexGuard<'_, Tables> {
    tables.lock().unwrap_or_else(PoisonError::into_inner)
}
