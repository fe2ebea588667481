//! Runs that have not ended by their deadline are cancelled, as if somebody had asked for it then.

use std::sync::Arc;

use super::PAGE;
use crate::background::Attendance;
use crate::clock::{Alarm, Timestamp, next_pause};
use crate::engine::Engine;
use crate::error::Error;
use crate::store::StoreError;
use crate::trace;

#[derive(Default)]
pub(super) struct Deadlines {
    /// The next one, and the alarm for it.
    next: Option<(Timestamp, Alarm)>,
}

impl Deadlines {
    /// Looks if there `is_news`, or if the next deadline has come.
    pub(super) fn look(
        &mut self,
        attendance: &Arc<Attendance>,
        engine: &Engine,
        is_news: bool,
    ) -> Result<(), StoreError> {
        let clock = &engine.settings.clock;
        let now = clock.now();
        if !is_news && self.next.as_ref().is_none_or(|(at, _)| *at > now) {
            return Ok(());
        }
        // Those that are left over are due at once with the next look, which their own cancellation brings.
        let expired = engine.core.reader().expired(now, PAGE)?;
        for id in expired {
            match engine.cancel(&id) {
                // It has ended meanwhile, or was reset.
                Ok(()) | Err(Error::Refused { .. } | Error::UnknownRun { .. }) => {}
                Err(error) => {
                    trace::warn(
                        Some(&id),
                        &format!("the run could not be cancelled at its deadline: {error}"),
                    );
                }
            }
        }
        let next = engine.core.reader().next_deadline(now)?;
        self.next = next.map(|at| {
            // The wall clock may be set meanwhile, so the alarm rings now and then on the way.
            let pause = next_pause(&**clock, at).unwrap_or_default();
            (at, clock.wake_after(pause, attendance.waker()))
        });
        Ok(())
    }
}
