//! A store that is gone with its last handle: the specification in the plainest code, and the store of tests.
//! Every op means here what it means in every store; `contract` compares them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Answer, Claim, CorruptRow, Disown, Epoch, Finish, Op, OwnerId, Ownership, Record, Release, Reset, Rewind,
    RunRecord, Start, StepReader, StepRecord, StepStore, StoreError, transition,
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
        let tables = Tables { workflows: BTreeMap::new(), steps: HashMap::new(), last: Epoch(0) };
        Self { tables: Arc::new(Mutex::new(tables)), owner }
    }
}

#[derive(Debug)]
struct Tables {
    workflows: BTreeMap<WorkflowId, RunRecord>,
    steps: HashMap<WorkflowId, BTreeMap<Position, StepRecord>>,
    last: Epoch,
}

impl StepStore for MemoryStore {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let mut tables = lock(&self.tables);
        Ok(ops.iter().map(|op| tables.apply(op)).collect())
    }

    fn blocks(&self) -> bool {
        false
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
            Op::Disown(disown) => self.disown(disown),
            Op::Rewind(rewind) => self.rewind(rewind),
            Op::Reset(reset) => self.reset(reset),
        }
    }

    /// The epoch to give out next.
    fn epoch_after(&self) -> Epoch {
        Epoch(self.last.0 + 1)
    }

    /// The run with this id, while its epoch is `epoch`.
    fn at(&mut self, id: &WorkflowId, epoch: Epoch) -> Option<&mut RunRecord> {
        self.workflows.get_mut(id).filter(|run| run.epoch == epoch)
    }

    fn start(&mut self, start: &Start) -> Answer {
        if let Some(run) = self.workflows.get(&start.id) {
            return transition::restart(run, start);
        }
        let next = self.epoch_after();
        self.workflows.insert(start.id.clone(), transition::start(start, next));
        self.last = next;
        Answer::Started(next)
    }

    fn claim(&mut self, claim: &Claim) -> Answer {
        let next = self.epoch_after();
        let as_read = |run: &&mut RunRecord| run.owner == claim.from;
        let Some(run) = self.at(&claim.id, claim.expected).filter(as_read) else { return Answer::Lost };
        transition::claim(run, claim, next);
        self.last = next;
        if let Some(steps) = self.steps.get_mut(&claim.id) {
            for position in &claim.drop {
                steps.remove(position);
            }
        }
        Answer::Claimed(next)
    }

    fn record(&mut self, record: &Record) -> Answer {
        if self.at(&record.id, record.step.epoch).is_none_or(|run| run.owner.is_none()) {
            return Answer::Fenced;
        }
        let steps = self.steps.entry(record.id.clone()).or_default();
        if let Some(recorded) = steps.get(&record.step.position) {
            return transition::record_again(recorded, &record.step);
        }
        steps.insert(record.step.position.clone(), record.step.clone());
        Answer::Done
    }

    fn finish(&mut self, finish: &Finish) -> Answer {
        self.at(&finish.id, finish.epoch).map_or(Answer::Fenced, |run| transition::finish(run, finish))
    }

    fn release(&mut self, release: &Release) -> Answer {
        self.at(&release.id, release.epoch).map_or(Answer::Fenced, |run| transition::release(run, release))
    }

    fn disown(&mut self, disown: &Disown) -> Answer {
        self.workflows.get_mut(&disown.id).map_or(Answer::Fenced, |run| transition::disown(run, disown))
    }

    fn rewind(&mut self, rewind: &Rewind) -> Answer {
        let next = self.epoch_after();
        let Some(run) = self.at(&rewind.id, rewind.expected) else { return Answer::Lost };
        transition::rewind(run, rewind, next);
        self.last = next;
        let Some(steps) = self.steps.get_mut(&rewind.id) else { return Answer::Dropped(0) };
        let before = steps.len();
        steps.retain(|position, _| !transition::is_rewound(position, &rewind.from));
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

    fn ownership(&mut self, id: &WorkflowId) -> Result<Option<Ownership>, StoreError> {
        let tables = lock(&self.tables);
        let run = tables.workflows.get(id);
        Ok(run.map(|run| Ownership { epoch: run.epoch, owner: run.owner.clone() }))
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

    fn position(&mut self, id: &WorkflowId, key: &str) -> Result<Option<Position>, StoreError> {
        let tables = lock(&self.tables);
        let mut steps = tables.steps.get(id).into_iter().flat_map(BTreeMap::values);
        Ok(steps.find(|step| step.key().as_str() == key).map(|step| step.position.clone()))
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
