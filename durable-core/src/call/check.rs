//! Where the body of a run that is only checked ends: at an operation that is not recorded, has not ended, or is to be
//! recorded. Outside a check nothing here does anything.

use super::Call;
use crate::clock::Timestamp;
use crate::store::Kind;

impl Call {
    /// Nothing is recorded here. A child has no record while it is under way, and what is recorded in it is checked.
    pub(super) fn check_unrecorded(&self) {
        let enters = self.kind == Kind::Child && self.run().history.is_taken(self.ticket.position.path());
        if !enters {
            self.check_open();
        }
    }

    /// It is recorded that the operation began, and not how it ended: it is under way in a run that somebody executes.
    /// In any other it was interrupted, which is what the run goes on from.
    pub(super) fn check_begun(&self) {
        if self.run().check().is_some_and(|check| check.is_live) {
            self.check_open();
        }
    }

    /// The operation has not ended, or its outcome is not recorded yet: the run would go on with it.
    pub(super) fn check_open(&self) {
        if let Some(check) = self.run().check() {
            check.note(|seen| seen.goes_on_with.push(self.key().clone()));
            self.ticket.scope.end_check(check);
        }
    }

    /// The operation waits until then.
    pub(crate) fn check_wait(&self, until: Timestamp) {
        if until > self.run().settings.clock.now() {
            self.check_open();
        }
    }
}
