//! The one way into a store: every write of an engine passes here, one batch at a time.
//! What could not be written when a run gave itself up is written before the next write, so that no run stays
//! owned by a process that has forgotten it, and none that is taken up again meanwhile is given up by it.
//! Callers that wait at once will share a commit here.

use std::sync::{Mutex, PoisonError};

use super::{Answer, Op, StepStore, StoreError};

/// So many give-ups are kept for the next write; beyond it, the end of this process frees the runs.
const LATE_MAX: usize = 10_000;

/// So many of them are written in one transaction.
const LATE_BATCH: usize = 256;

pub(crate) struct Commits {
    state: Mutex<State>,
}

struct State {
    store: Box<dyn StepStore>,
    late: Vec<Op>,
}

impl Commits {
    pub(crate) fn new(store: Box<dyn StepStore>) -> Self {
        Self { state: Mutex::new(State { store, late: Vec::new() }) }
    }

    /// Applies `op`; when this returns, it is as durable as the store makes it.
    pub(crate) fn commit(&self, op: Op) -> Result<Answer, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.catch_up()?;
        apply_one(&mut *state.store, op)
    }

    /// Applies `op`, now or before the next write.
    pub(crate) fn commit_soon(&self, op: Op) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.late.len() < LATE_MAX {
            state.late.push(op);
        }
        _ = state.catch_up();
    }
}

impl State {
    /// Writes what is late. An op that fails for a reason of its own is dropped: it would stand in the way for
    /// ever.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let mut batch = LATE_BATCH;
        while !self.late.is_empty() {
            let from = self.late.len().saturating_sub(batch);
            match self.store.apply(&self.late[from..]) {
                Err(error @ (StoreError::Unavailable { .. } | StoreError::Unknown { .. })) => {
                    return Err(error);
                }
                // One of them is to blame: each has a transaction of its own.
                Err(_) if batch > 1 => batch = 1,
                Ok(_) | Err(_) => self.late.truncate(from),
            }
        }
        Ok(())
    }
}

fn apply_one(store: &mut dyn StepStore, op: Op) -> Result<Answer, StoreError> {
    let answer = store.apply(&[op])?.pop();
    answer.ok_or_else(|| StoreError::Fatal { reason: "it gave no answer".into() })
}
