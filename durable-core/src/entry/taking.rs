//! A write that may take a run, until its caller knows what became of it. Knows no row.

use super::Request;
use crate::held::{RETRY_AFTER, give_up};
use crate::store::{Disown, Op};

/// A start or a claim. Dropped before its answer, as a future can be, or where nobody can tell, it gives up what
/// was perhaps taken: this process is not going to execute it.
pub(super) struct Taking<'a> {
    request: &'a Request<'a>,
    pub(super) is_over: bool,
}

impl<'a> Taking<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        Self { request, is_over: false }
    }

    /// Gives up what was perhaps taken, before the caller hears of it.
    pub(super) async fn give_up(&mut self) {
        if let Some(op) = self.disown() {
            self.request.engine.core.commit_soon(self.request.mode, op).await;
        }
    }

    /// What gives it up, if that is still to be.
    fn disown(&mut self) -> Option<Op> {
        let core = &self.request.engine.core;
        if std::mem::replace(&mut self.is_over, true) || core.check_process().is_err() {
            return None;
        }
        let (id, owner, at) = (self.request.id.clone(), core.owner.clone(), self.request.now());
        // Nobody calls for a run in the background, so it is to be taken up again.
        let wake_at = self.request.intent.is_background().then(|| at.plus(RETRY_AFTER));
        Some(Op::Disown(Disown { id, owner, wake_at, at }))
    }
}

impl Drop for Taking<'_> {
    /// It goes behind the write that takes the run, and before the next one that can: the caller has the id
    /// reserved until this is done.
    fn drop(&mut self) {
        if let Some(op) = self.disown() {
            give_up(&self.request.engine.core, self.request.mode, op);
        }
    }
}
