//! Circles of waits over processes. Each process tells the others which of its runs waits for which, while one
//! of them waits for a run of another process; who finds a circle through its own wait twice in a row, with a
//! pause between, has found one that nothing but an error ends: a circle does not go away by itself.
//! Knows no rows: what is told lies beside them, and is gone with its process.

use std::sync::Arc;

use crate::core::Core;
use crate::key::WorkflowId;
use crate::run::Mode;
use crate::waits::{self, Waiting};

/// A wait for a run of another process, told to the others until it is dropped.
pub(crate) struct Told {
    core: Arc<Core>,
    mode: Mode,
    waiting: Option<Waiting>,
}

impl Told {
    pub(crate) fn new(core: &Arc<Core>, mode: Mode, waiting: Waiting) -> Self {
        Self { core: Arc::clone(core), mode, waiting: Some(waiting) }
    }

    /// Tells of the wait, and how the run that is waited for waits for the one that waits, if it does.
    pub(crate) async fn look(&self) -> Option<Vec<WorkflowId>> {
        let (waiter, target) = self.waiting.as_ref()?.ends()?;
        let own = waits::within(self.core.number());
        let told = own.clone();
        let tell_and_hear = move |reader: &mut dyn crate::store::StepReader| {
            reader.tell(&told);
            reader.told()
        };
        let mut all = self.core.read(self.mode, tell_and_hear).await;
        all.extend(own);
        waits::way(&all, target, waiter).map(|way| [waiter.clone()].into_iter().chain(way).collect())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if self.waiting.take().is_some_and(|waiting| waiting.ends().is_some()) {
            let left = waits::within(self.core.number());
            self.core.read_soon(self.mode, move |reader| reader.tell(&left));
        }
    }
}
