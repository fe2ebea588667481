//! The one way into a store: every write of an engine passes here, one batch at a time.
//! What could not be written when a run gave itself up goes along with the next write, so that no run stays
//! owned by a process that has forgotten it. Callers that wait at once will share a commit here.

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
        let State { store, late } = &mut *state;
        late.push(op);
        match store.apply(late) {
            Ok(mut answers) => {
                late.clear();
                answers.pop().ok_or_else(|| StoreError::Fatal { reason: "it gave no answer".into() })
            }
            Err(error) => {
                late.pop();
                Err(error)
            }
        }
    }

    /// Applies `op`, now or together with the next write.
    pub(crate) fn commit_soon(&self, op: Op) {
        if self.commit(op.clone()).is_err() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.late.len() < LATE_MAX {
                state.late.push(op);
            }
        }
    }
}
