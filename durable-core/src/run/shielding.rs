//! Regions of a run that are not cancelled half-way: while there is one, what is asked of the run waits. The count
//! is the run's, not a branch's: a run ends as a whole, so as long as one branch is in such a region, all go on.

use std::sync::Arc;

use super::Run;
use crate::error::Error;
use crate::store::Wanted;
use crate::sync::{MutexGuard, lock};

/// The regions that a run is in, and what was asked of it meanwhile.
#[derive(Default)]
pub(super) struct Shields {
    count: u32,
    asked: Option<Wanted>,
}

/// A region that the run is in, until this is dropped. After the last one, what was asked meanwhile stops it.
pub(crate) struct Shielded {
    run: Arc<Run>,
}

impl Run {
    /// Is asked for something from outside: stops for it, now or after the region that it is in.
    pub(crate) fn heed(&self, wanted: Wanted) {
        if !self.defers(wanted) {
            self.stop(Error::wanted(&self.id, wanted));
        }
    }

    /// Whether what is asked waits for the end of a region. Then the run is stopped there.
    pub(super) fn defers(&self, wanted: Wanted) -> bool {
        let mut shields = self.shields();
        if shields.count == 0 {
            return false;
        }
        // Who is to end has no need to pause.
        if shields.asked != Some(Wanted::Cancel) {
            shields.asked = Some(wanted);
        }
        true
    }

    /// Begins a region that is not cancelled half-way.
    pub(crate) fn shield(self: &Arc<Self>) -> Shielded {
        self.shields().count += 1;
        Shielded { run: Arc::clone(self) }
    }

    /// Whether it is in a region that is not cancelled half-way.
    pub(crate) fn is_shielded(&self) -> bool {
        self.shields().count > 0
    }

    /// Whether it is to be stopped at the end of such a region.
    pub(super) fn stops_after_shield(&self) -> bool {
        self.shields().asked.is_some()
    }

    fn shields(&self) -> MutexGuard<'_, Shields> {
        lock(&self.shields)
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        let asked = {
            let mut shields = self.run.shields();
            shields.count -= 1;
            if shields.count > 0 { None } else { shields.asked.take() }
        };
        if let Some(wanted) = asked {
            self.run.stop(Error::wanted(&self.run.id, wanted));
        }
    }
}
