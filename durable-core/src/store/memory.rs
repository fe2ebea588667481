//! A store that is gone with its last handle: the specification in the plainest code, and the store of tests.
//! Every op means here what it means in every store; `contract` compares them.

mod mail;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use self::mail::Mail;
use super::{
    Answer, Ask, Candidate, Claim, CorruptRow, Disown, Epoch, EventRecord, Filter, Finish, Fork, Listed,
    MessageRecord, Op, OwnerId, Ownership, Record, Release, Reset, Rewind, RunRecord, RunStatus, Start,
    StepReader, StepRecord, StepRow, StepStore, StoreError, Token, Wanted, transition,
};
use crate::clock::Timestamp;
use crate::draw;
use crate::key::{Position, WorkflowId};
use crate::sync::{Mutex, lock};

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
        let tables = Tables {
            workflows: BTreeMap::new(),
            steps: HashMap::new(),
            mail: Mail::default(),
            last: Epoch(0),
            version: 0,
        };
        Self { tables: Arc::new(Mutex::new(tables)), owner }
    }
}

#[derive(Debug)]
struct Tables {
    workflows: BTreeMap<WorkflowId, RunRecord>,
    steps: HashMap<WorkflowId, BTreeMap<Position, StepRecord>>,
    mail: Mail,
    last: Epoch,
    version: u64,
}

impl StepStore for MemoryStore {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let mut tables = lock(&self.tables);
        tables.version += 1;
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
            Op::Act(act) => self.act(act),
            Op::Deliver(send) => self.send(send),
            Op::Publish(publish) => self.publish(publish),
            Op::Finish(finish) => self.finish(finish),
            Op::Release(release) => self.release(release),
            Op::Disown(disown) => self.disown(disown),
            Op::Ask(ask) => self.ask(ask),
            Op::Reopen(reopen) => {
                self.workflows.get_mut(&reopen.id).map_or(Answer::Lost, |run| transition::reopen(run, reopen))
            }
            Op::Rewind(rewind) => self.rewind(rewind),
            Op::Fork(fork) => self.fork(fork),
            Op::DropMessage(drop) => self.drop_message(drop),
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
        let races = self.decisions(&claim.id, |position| claim.drop.contains(position));
        let Some(run) = self.at(&claim.id, claim.expected).filter(as_read) else { return Answer::Lost };
        transition::claim(run, claim, next);
        self.last = next;
        if let Some(steps) = self.steps.get_mut(&claim.id) {
            for position in &claim.drop {
                steps.remove(position);
            }
        }
        self.receive_again(&claim.id, &races);
        Answer::Claimed(next)
    }

    fn record(&mut self, record: &Record) -> Answer {
        let answer = self.record_step(record);
        if answer == Answer::Done {
            self.mark(record);
        }
        answer
    }

    /// Adds what a recorded outcome rests on.
    fn mark(&mut self, record: &Record) {
        let steps = self.steps.entry(record.id.clone()).or_default();
        for marker in &record.markers {
            steps.entry(marker.position.clone()).or_insert_with(|| marker.clone());
        }
    }

    fn record_step(&mut self, record: &Record) -> Answer {
        let owned = self.at(&record.id, record.step.epoch).filter(|run| run.owner.is_some());
        let Some(&mut RunRecord { wanted, .. }) = owned else { return Answer::Fenced };
        let wanted = wanted.filter(|_| !record.is_shielded);
        let steps = self.steps.entry(record.id.clone()).or_default();
        match (steps.get(&record.step.position), wanted) {
            (Some(begun), _) if transition::completes(begun, &record.step) => {}
            (_, Some(wanted)) => return Answer::Wanted(wanted),
            (Some(recorded), None) => return transition::record_again(recorded, &record.step),
            (None, None) => {}
        }
        steps.insert(record.step.position.clone(), record.step.clone());
        Answer::Done
    }

    fn finish(&mut self, finish: &Finish) -> Answer {
        let Some(run) = self.at(&finish.id, finish.epoch) else { return Answer::Fenced };
        let answer = transition::finish(run, finish);
        self.tell_of_end(&finish.id, finish.at);
        answer
    }

    fn release(&mut self, release: &Release) -> Answer {
        let awaits = release.awaits.as_ref().filter(|awaits| self.is_there(&release.id, awaits));
        let Some(run) = self.at(&release.id, release.epoch) else { return Answer::Fenced };
        let answer = transition::release(run, release);
        if let Some(awaits) = awaits {
            transition::wake(run, &awaits.token(), release.at);
        }
        self.tell_of_end(&release.id, release.at);
        answer
    }

    fn disown(&mut self, disown: &Disown) -> Answer {
        let Some(run) = self.workflows.get_mut(&disown.id) else { return Answer::Fenced };
        let answer = transition::disown(run, disown);
        self.tell_of_end(&disown.id, disown.at);
        answer
    }

    fn ask(&mut self, ask: &Ask) -> Answer {
        let Some(run) = self.workflows.get_mut(&ask.id) else { return Answer::Lost };
        let mut asked = match transition::ask(run, ask) {
            transition::Asked::Ended => return Answer::Lost,
            transition::Asked::Done => Vec::new(),
            transition::Asked::Owned => vec![ask.id.clone()],
        };
        self.tell_of_end(&ask.id, ask.at);
        if ask.wanted == Wanted::Cancel {
            for child in self.descendants(&ask.id) {
                let run = self.workflows.get_mut(&child);
                if run.is_some_and(|run| matches!(transition::ask(run, ask), transition::Asked::Owned)) {
                    asked.push(child.clone());
                }
                self.tell_of_end(&child, ask.at);
            }
        }
        if asked.is_empty() { Answer::Done } else { Answer::Asked(asked) }
    }

    /// The runs that `id` has started, those that they have started, and so on.
    fn descendants(&self, id: &WorkflowId) -> BTreeSet<WorkflowId> {
        let (mut found, mut next) = (BTreeSet::new(), vec![id.clone()]);
        while let Some(parent) = next.pop() {
            let children = self.workflows.values().filter(|run| run.parent.as_ref() == Some(&parent));
            let children: Vec<_> = children.map(|run| run.id.clone()).collect();
            next.extend(children.into_iter().filter(|child| found.insert(child.clone())));
        }
        found.remove(id);
        found
    }

    fn rewind(&mut self, rewind: &Rewind) -> Answer {
        let next = self.epoch_after();
        let races = self.decisions(&rewind.id, |position| transition::is_rewound(position, &rewind.from));
        let Some(run) = self.at(&rewind.id, rewind.expected) else { return Answer::Lost };
        transition::rewind(run, rewind, next);
        self.last = next;
        self.mail.put_back(&rewind.id, |position| transition::is_rewound(position, &rewind.from));
        let Some(steps) = self.steps.get_mut(&rewind.id) else { return Answer::Dropped(0) };
        let before = steps.len();
        steps.retain(|position, _| !transition::is_rewound(position, &rewind.from));
        self.receive_again(&rewind.id, &races);
        let left = self.steps.get(&rewind.id).map_or(0, BTreeMap::len);
        Answer::Dropped((before - left) as u64)
    }

    fn fork(&mut self, fork: &Fork) -> Answer {
        let next = self.epoch_after();
        let Some(run) = self.at(&fork.id, fork.expected).cloned() else { return Answer::Lost };
        let steps = self.steps.get(&fork.id).into_iter().flat_map(BTreeMap::values);
        let copied = steps.filter_map(|step| transition::forked(step.clone(), fork));
        let copied: BTreeMap<_, _> = copied.map(|step| (step.position.clone(), step)).collect();
        let count = copied.len() as u64;
        if let Some(found) = self.workflows.get(&fork.to) {
            let none = BTreeMap::new();
            let same = transition::is_fork(found, &run, fork)
                && *self.steps.get(&fork.to).unwrap_or(&none) == copied;
            return if same { Answer::Forked(count) } else { Answer::Exists };
        }
        self.workflows.insert(fork.to.clone(), transition::fork(&run, fork, next));
        self.steps.insert(fork.to.clone(), copied);
        self.last = next;
        Answer::Forked(count)
    }

    fn reset(&mut self, reset: &Reset) -> Answer {
        if self.at(&reset.id, reset.expected).is_none() {
            return Answer::Lost;
        }
        self.workflows.remove(&reset.id);
        self.steps.remove(&reset.id);
        self.mail.forget(&reset.id);
        self.wake_all(&Token::of_run(&reset.id), reset.at);
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

    fn runs(&mut self, filter: &Filter, after: Option<&[u8]>, limit: u32) -> Result<Listed, StoreError> {
        let tables = lock(&self.tables);
        let is_later = |run: &&RunRecord| after.is_none_or(|after| run.id.as_str().as_bytes() > after);
        let mut fitting = tables.workflows.values().filter(|run| is_later(run) && filter.fits(run));
        let runs: Vec<_> = fitting.by_ref().take(limit as usize).collect();
        let last = runs.last().map(|run| run.id.as_str().as_bytes());
        let next = fitting.next().map(|_| last.or(after).unwrap_or_default().to_vec());
        Ok(Listed { runs: runs.into_iter().cloned().map(Ok).collect(), next })
    }

    fn position(&mut self, id: &WorkflowId, key: &str) -> Result<Option<Position>, StoreError> {
        let tables = lock(&self.tables);
        let mut steps = tables.steps.get(id).into_iter().flat_map(BTreeMap::values);
        Ok(steps.find(|step| step.key().as_str() == key).map(|step| step.position.clone()))
    }

    fn inspect(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(Result<StepRow<'_>, CorruptRow>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let tables = lock(&self.tables);
        let Some(steps) = tables.steps.get(id) else { return Ok(()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        _ = steps.range((from, Bound::Unbounded)).try_for_each(|(_, step)| visit(Ok(step.as_row())));
        Ok(())
    }

    fn due(
        &mut self,
        until: Timestamp,
        after: Option<&(Timestamp, WorkflowId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Candidate)>, StoreError> {
        let tables = lock(&self.tables);
        let waiting = tables.workflows.values().filter_map(|run| Some((run.wake_at?, run)));
        let due = waiting.filter(|(at, run)| {
            *at <= until && after.is_none_or(|after| (*at, &run.id) > (after.0, &after.1))
        });
        let mut due: Vec<_> = due.map(|(at, run)| (at, candidate(run))).collect();
        due.sort();
        due.truncate(limit as usize);
        Ok(due)
    }

    fn next_due(&mut self, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let tables = lock(&self.tables);
        Ok(tables.workflows.values().filter_map(|run| run.wake_at).filter(|at| *at > until).min())
    }

    fn expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WorkflowId>, StoreError> {
        let tables = lock(&self.tables);
        let expired = tables.workflows.values().filter(|run| transition::is_expired(run, now));
        let mut expired: Vec<_> = expired.map(|run| (run.deadline, run.id.clone())).collect();
        expired.sort();
        expired.truncate(limit as usize);
        Ok(expired.into_iter().map(|(_, id)| id).collect())
    }

    fn next_deadline(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let tables = lock(&self.tables);
        let running = tables.workflows.values().filter(|run| run.status == RunStatus::Running);
        Ok(running.filter_map(|run| run.deadline).filter(|deadline| *deadline > now).min())
    }

    fn owners(&mut self) -> Result<Vec<OwnerId>, StoreError> {
        let tables = lock(&self.tables);
        let running = tables.workflows.values().filter(|run| run.status == RunStatus::Running);
        let owners: BTreeSet<_> =
            running.filter_map(|run| run.owner.as_ref().map(|owner| &owner.0)).collect();
        Ok(owners.into_iter().map(|owner| OwnerId(Arc::clone(owner))).collect())
    }

    fn interrupted(
        &mut self,
        owner: Option<&OwnerId>,
        after: Option<&WorkflowId>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let tables = lock(&self.tables);
        let of_owner = |run: &&RunRecord| {
            run.status == RunStatus::Running && run.owner.as_ref() == owner && run.wake_at.is_none()
        };
        let runs = tables.workflows.values().filter(of_owner);
        let later = runs.filter(|run| after.is_none_or(|after| run.id > *after));
        Ok(later.take(limit as usize).map(candidate).collect())
    }

    fn wanted(&mut self, owner: &OwnerId) -> Result<Vec<(WorkflowId, Wanted)>, StoreError> {
        let tables = lock(&self.tables);
        let runs = tables.workflows.values().filter(|run| run.owner.as_ref() == Some(owner));
        Ok(runs.filter_map(|run| Some((run.id.clone(), run.wanted?))).collect())
    }

    fn message(&mut self, id: &WorkflowId, topic: &str) -> Result<Option<MessageRecord>, StoreError> {
        Ok(lock(&self.tables).mail.next(id, topic).cloned())
    }

    fn messages(&mut self, id: &WorkflowId) -> Result<Vec<MessageRecord>, StoreError> {
        Ok(lock(&self.tables).mail.of(id).cloned().collect())
    }

    fn event(&mut self, id: &WorkflowId, name: &str) -> Result<Option<EventRecord>, StoreError> {
        Ok(lock(&self.tables).mail.event(id, name).cloned())
    }

    fn events(&mut self, id: &WorkflowId) -> Result<Vec<EventRecord>, StoreError> {
        Ok(lock(&self.tables).mail.events_of(id).cloned().collect())
    }

    fn version(&mut self) -> Result<u64, StoreError> {
        Ok(lock(&self.tables).version)
    }

    fn lives(&mut self, owner: &OwnerId) -> Result<bool, StoreError> {
        Ok(*owner == self.owner)
    }
}

fn candidate(run: &RunRecord) -> Candidate {
    Candidate { id: run.id.clone(), name: run.name.clone() }
}
