//! Group commit, the one way into a store: whatever waits for a write is committed in one transaction, and
//! every caller goes on only after the commit that holds its write.
//! A caller that blocks leads the batch that it opened, on its own thread; those who join it sleep until it is
//! published. A future never leads: a thread of the store's leads what a future opened. Batches go in the order
//! in which they were opened, whoever leads. What could not be written when a run gave itself up is written
//! before anything else, so that no run stays owned by a process that has forgotten it. What a store puts off is
//! done by that thread too, while the callers do something else.
//! Knows no run, and no database.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use super::batch::{Answered, Batch, Ticket};
use super::{Answer, Op, StepStore, StoreError};
use crate::clock::Lapse;
use crate::signal::wake;
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard, lock, thread_local, wait_while};

/// So many give-ups are kept for the next write; beyond it, the end of this process frees the runs.
const LATE_MAX: usize = 10_000;

/// The most ops of one transaction; the next one opens another batch.
const BATCH_OPS_MAX: usize = 1_024;

/// How long a leader waits for as many ops as the last commit had, in all and since the last one came: without
/// it two groups of callers alternate in half-filled batches. `benches/ratios` told no difference between these
/// and 50 and 12, or 1,000 and 60, beyond its spread.
const GATHER_MAX: Duration = Duration::from_micros(300);
const GATHER_GAP_MAX: Duration = Duration::from_micros(25);

pub(crate) struct Commits {
    shared: Arc<Shared>,
    /// The thread that leads for futures and does what the store puts off, once there was something for it.
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Whether a write can wait for a disk; otherwise futures write at once.
    blocks: bool,
    opened_by: u32,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Told of a new orphan, of what the store has put off, and of the end.
    work: Condvar,
    writing: Mutex<Writing>,
}

#[derive(Default)]
struct Queue {
    /// The batches that wait, the oldest first. The last one is open.
    waiting: VecDeque<Waiting>,
    /// Those of them that no caller leads.
    orphans: VecDeque<Arc<Batch>>,
    /// Whether the store has put something off.
    wants_upkeep: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Waiting {
    batch: Arc<Batch>,
    ops: Vec<Op>,
    /// Which of the ops are written later if they cannot be now: nobody waits for them.
    give_ups: Vec<usize>,
}

/// The store, for whoever leads.
struct Writing {
    store: Box<dyn StepStore>,
    late: Vec<Op>,
    /// How many ops the last commit had.
    last_ops: usize,
}

thread_local! {
    /// Whether this thread leads, or wakes those whose batch it led: it cannot wait for another leader then,
    /// which may be itself.
    static LEADS: Cell<bool> = const { Cell::new(false) };
}

impl Commits {
    pub(crate) fn new(store: Box<dyn StepStore>) -> Self {
        let blocks = store.blocks();
        let writing = Mutex::new(Writing { store, late: Vec::new(), last_ops: 0 });
        let shared = Arc::new(Shared { queue: Mutex::default(), work: Condvar::new(), writing });
        Self { shared, writer: Mutex::default(), blocks, opened_by: std::process::id() }
    }

    /// Applies `op`; when this returns, it is as durable as the store makes it.
    pub(crate) fn commit(&self, op: Op) -> Answered {
        self.lead_or_follow(op, false)
    }

    /// Hands `op` over; its ticket is ready once it is as durable as the store makes it. A ticket that is
    /// dropped changes nothing.
    pub(crate) fn submit(&self, op: Op) -> Ticket {
        if !self.blocks {
            return Ticket::ready(self.commit(op));
        }
        let (batch, index) = self.hand_over(op, false);
        Ticket::new(batch, index)
    }

    /// Applies `op`, now or before the next write.
    pub(crate) fn commit_soon(&self, op: Op) {
        _ = self.lead_or_follow(op, true);
    }

    /// Hands `op` over, to be applied now or before the next write.
    pub(crate) fn submit_soon(&self, op: Op) -> Ticket {
        if !self.blocks {
            return Ticket::ready(self.lead_or_follow(op, true));
        }
        let (batch, index) = self.hand_over(op, true);
        Ticket::new(batch, index)
    }

    /// Puts `op` into the open batch, and leads it if it is the first one there.
    fn lead_or_follow(&self, op: Op, give_up: bool) -> Answered {
        let (batch, index) = self.shared.queue().join(op, give_up);
        if (index == 0 || LEADS.with(Cell::get)) && self.shared.lead(&batch) {
            // Without a thread the store comes to it by itself, in some later transaction.
            self.has_writer();
        }
        batch.wait(index)
    }

    /// Puts `op` into the open batch; the store's own thread leads it, if nobody does yet.
    fn hand_over(&self, op: Op, give_up: bool) -> (Arc<Batch>, usize) {
        let mut queue = self.shared.queue();
        let (batch, index) = queue.join(op, give_up);
        if index > 0 {
            return (batch, index);
        }
        queue.orphans.push_back(Arc::clone(&batch));
        drop(queue);
        self.shared.work.notify_one();
        if !self.has_writer() {
            // The system gives no thread: late is better than never.
            self.shared.queue().orphans.clear();
            self.shared.lead(&batch);
        }
        (batch, index)
    }

    fn has_writer(&self) -> bool {
        let mut writer = lock(&self.writer);
        if writer.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("durable-writer".into());
            *writer = thread.spawn(move || shared.work()).ok();
        }
        writer.is_some()
    }
}

impl Drop for Commits {
    /// Waits for what was handed over.
    fn drop(&mut self) {
        if std::process::id() != self.opened_by {
            // A forked process has a copy of the store, which is its parent's to close, and no thread that writes.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        self.shared.queue().is_closed = true;
        self.shared.work.notify_one();
        if writer.thread().id() != thread::current().id() {
            _ = writer.join();
        }
    }
}

impl Queue {
    /// Puts `op` into the open batch; the first one of a batch has opened it.
    fn join(&mut self, op: Op, give_up: bool) -> (Arc<Batch>, usize) {
        if self.waiting.back().is_none_or(|open| open.ops.len() >= BATCH_OPS_MAX) {
            self.waiting.push_back(Waiting::default());
        }
        // It has just been made sure that there is one.
        let at = self.waiting.len() - 1;
        let open = &mut self.waiting[at];
        let index = open.ops.len();
        open.ops.push(op);
        if give_up {
            open.give_ups.push(index);
        }
        (Arc::clone(&open.batch), index)
    }
}

impl Shared {
    /// Commits the batches that wait, in their order, until `own` is published. Whether the store has put
    /// something off.
    fn lead(&self, own: &Batch) -> bool {
        let led_before = LEADS.with(|leads| leads.replace(true));
        let mut wants_upkeep = false;
        while !own.is_published() {
            let (wakers, wants) = self.commit_next(own);
            wants_upkeep |= wants;
            // Outside the lock: a waker is the user's code.
            wakers.into_iter().for_each(wake);
        }
        LEADS.with(|leads| leads.set(led_before));
        wants_upkeep
    }

    fn commit_next(&self, own: &Batch) -> (Vec<Waker>, bool) {
        let mut writing = lock(&self.writing);
        // Another leader may have been here while this one waited for the lock.
        if own.is_published() {
            return Default::default();
        }
        self.gather(writing.last_ops);
        let Some(Waiting { batch, ops, give_ups }) = self.queue().waiting.pop_front() else {
            return Default::default();
        };
        let count = ops.len();
        let committed = catch_unwind(AssertUnwindSafe(|| writing.commit(&ops, &give_ups)));
        let answers = committed.unwrap_or_else(|_| {
            let fatal = StoreError::Fatal { reason: "it panicked".into() };
            (0..count).map(|_| Err(fatal.clone())).collect()
        });
        let wakers = batch.publish(answers);
        // After those who sleep have been told; futures are woken a moment later, outside the lock.
        let asked = catch_unwind(AssertUnwindSafe(|| writing.store.wants_upkeep()));
        let wants_upkeep = asked.unwrap_or(false);
        if wants_upkeep {
            self.queue().wants_upkeep = true;
            self.work.notify_one();
        }
        (wakers, wants_upkeep)
    }

    /// Waits, for a moment, until as many ops wait as the last commit had.
    fn gather(&self, last_ops: usize) {
        let (lapse, mut seen, mut seen_at) = (Lapse::start(), 1, Duration::ZERO);
        while seen < last_ops {
            let ops = self.queue().waiting.front().map_or(0, |waiting| waiting.ops.len());
            let now = lapse.elapsed();
            if ops > seen {
                (seen, seen_at) = (ops, now);
            } else if now > GATHER_MAX || now.saturating_sub(seen_at) > GATHER_GAP_MAX {
                return;
            }
            thread::yield_now();
        }
    }

    /// The thread that leads for futures, and does what the store puts off.
    fn work(&self) {
        loop {
            let idle =
                |queue: &mut Queue| queue.orphans.is_empty() && !queue.wants_upkeep && !queue.is_closed;
            let mut queue = wait_while(&self.work, self.queue(), idle);
            let (orphan, wants_upkeep) = (queue.orphans.pop_front(), std::mem::take(&mut queue.wants_upkeep));
            let is_over = queue.is_closed && orphan.is_none();
            drop(queue);
            if is_over {
                return;
            }
            if let Some(orphan) = orphan {
                self.lead(&orphan);
            }
            if wants_upkeep {
                let mut writing = lock(&self.writing);
                _ = catch_unwind(AssertUnwindSafe(|| writing.store.keep_up()));
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Writing {
    /// Applies `ops` in one transaction, and answers each. Where one op is to blame for a failure, each has a
    /// transaction of its own.
    fn commit(&mut self, ops: &[Op], give_ups: &[usize]) -> Vec<Answered> {
        self.last_ops = ops.len();
        let answers = match self.catch_up().and_then(|()| apply(&mut *self.store, ops)) {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if ops.len() > 1 && error.blames_one_op() => self.one_by_one(ops),
            Err(error) => ops.iter().map(|_| Err(error.clone())).collect::<Vec<_>>(),
        };
        let left = LATE_MAX.saturating_sub(self.late.len());
        let unwritten =
            give_ups.iter().filter(|i| answers[**i].as_ref().is_err_and(StoreError::is_of_the_moment));
        self.late.extend(unwritten.take(left).map(|i| ops[*i].clone()));
        answers
    }

    fn one_by_one(&mut self, ops: &[Op]) -> Vec<Answered> {
        let mut over: Option<StoreError> = None;
        let mut answer = |op: &Op| {
            if let Some(error) = &over {
                return Err(error.clone());
            }
            let answered = apply(&mut *self.store, std::slice::from_ref(op));
            over = answered.as_ref().err().filter(|error| !error.blames_one_op()).cloned();
            answered?.pop().ok_or_else(no_answer)
        };
        ops.iter().map(&mut answer).collect()
    }

    /// Writes what is late. An op that fails for a reason of its own is dropped: it would stand in the way for
    /// ever.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut batch = BATCH_OPS_MAX;
        while !self.late.is_empty() {
            let from = self.late.len().saturating_sub(batch);
            match apply(&mut *self.store, &self.late[from..]) {
                Err(error) if error.is_of_the_moment() => return Err(error),
                // One of them is to blame: each has a transaction of its own.
                Err(_) if batch > 1 => batch = 1,
                Ok(_) | Err(_) => self.late.truncate(from),
            }
        }
        Ok(())
    }
}

fn apply(store: &mut dyn StepStore, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
    let answers = store.apply(ops)?;
    if answers.len() == ops.len() { Ok(answers) } else { Err(no_answer()) }
}

fn no_answer() -> StoreError {
    StoreError::Fatal { reason: "it did not answer each op".into() }
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests;
