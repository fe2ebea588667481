//! The one way into a store: every write of an engine passes here, one batch at a time.
//! What could not be written when a run gave itself up is written after the next write that succeeds, so that
//! no run stays owned by a process that has forgotten it. Callers that wait at once will share a commit here.

use std::sync::{Mutex, PoisonError};

use super::{Answer, Op, StepStore, StoreError};

/// So many give-ups are kept for the next write; beyond it, the end of this process frees the runs.
const LATE_MAX: usize = 10_000;

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
        let answer = apply_one(&mut *state.store, op)?;
        state.catch_up();
        Ok(answer)
    }

    /// Applies `op`, now or after the next write that succeeds.
    pub(crate) fn commit_soon(&self, op: Op) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if apply_one(&mut *state.store, op.clone()).is_err() && state.late.len() < LATE_MAX {
            state.late.push(op);
        }
    }
}

impl State {
    /// Writes what is late. What fails again for a reason of its own is dropped: it would stand in the way
    /// for ever.
    fn catch_up(&mut self) {
        while let Some(op) = self.late.pop() {
            if let Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) =
                apply_one(&mut *self.store, op.clone())
            {
                self.late.push(op);
                return;
            }
        }
    }
}

fn apply_one(store: &mut dyn StepStore, op: Op) -> Result<Answer, StoreError> {
    let answer = store.apply(&[op])?.pop();
    answer.ok_or_else(|| StoreError::Fatal { reason: "it gave no answer".into() })
}
