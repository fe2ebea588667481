//! The right to execute a run: who has it records the end of the run, or gives it up on every way out.
//! Knows no user code.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::core::{Core, Reservation, Settings};
use crate::error::Error;
use crate::key::{StepKey, WorkflowId};
use crate::run::{Mode, Run};
use crate::store::{Answer, Awaits, End, Epoch, Finish, Op, Release, Wanted};
use crate::trace;
use crate::waits::Waiting;

/// So long a run in the background waits that was given up because its store failed.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// So long a run in the background waits after the first panic of its body, and at most: twice as long after
/// each.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_mins(1);

fn backoff(recoveries: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(recoveries)).min(BACKOFF_MAX)
}

/// The right to execute a run, and the duty to give it up.
pub(crate) struct Held {
    pub(crate) run: Arc<Run>,
    recoveries: u32,
    /// Dropped last: those who wait for the run look at the store then.
    lease: Lease,
}

/// Gives the run up when it is dropped, unless its end was recorded.
struct Lease {
    core: Arc<Core>,
    settings: Arc<Settings>,
    id: WorkflowId,
    epoch: Epoch,
    mode: Mode,
    /// Nobody calls for the run: when it is given up, it is to be taken up again.
    in_background: bool,
    panicked: Option<String>,
    wake_at: Option<Timestamp>,
    awaits: Option<Awaits>,
    over: bool,
    _reservation: Reservation,
    _waiting: Waiting,
}

impl Lease {
    fn new(run: &Run, reservation: Reservation, waiting: Waiting) -> Self {
        Self {
            core: Arc::clone(&run.core),
            settings: Arc::clone(&run.settings),
            id: run.id.clone(),
            epoch: run.epoch,
            mode: run.mode,
            in_background: run.in_background,
            panicked: None,
            wake_at: None,
            awaits: None,
            over: false,
            _reservation: reservation,
            _waiting: waiting,
        }
    }

    /// What gives the run up, if it is still to be.
    fn release(&mut self) -> Option<Op> {
        // A forked child has only a copy of what its parent owns.
        if std::mem::replace(&mut self.over, true) || self.core.check_process().is_err() {
            return None;
        }
        let (id, epoch, at) = (self.id.clone(), self.epoch, self.settings.clock.now());
        let panicked = self.panicked.take();
        let wake_at = self.wake_at.take().or_else(|| self.in_background.then_some(at));
        let awaits = self.awaits.take();
        Some(Op::Release(Release { id, epoch, panicked, wake_at, awaits, at }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(op) = self.release() {
            give_up(&self.core, self.mode, op);
        }
    }
}

/// Writes what gives a run up, from a drop: in a call by blocking this thread, in a poll without.
pub(crate) fn give_up(core: &Core, mode: Mode, op: Op) {
    match mode {
        Mode::Called => core.commits.commit_soon(op),
        Mode::Polled => drop(core.commits.submit_soon(op)),
    }
}

impl Held {
    pub(crate) fn new(run: Arc<Run>, recoveries: u32, reservation: Reservation, waiting: Waiting) -> Self {
        reservation.executes(&run);
        let lease = Lease::new(&run, reservation, waiting);
        Self { run, recoveries, lease }
    }

    /// Records the end of the run, and gives it up.
    pub(crate) async fn finish(mut self, end: End) -> Result<(), Error> {
        self.report_unreached();
        let ended = self.end(end).await;
        if ended.is_err() && self.run.in_background {
            self.retry_after(RETRY_AFTER);
        }
        self.release().await;
        ended
    }

    /// Gives the run up after a fault: halted if it would come again, interrupted otherwise.
    pub(crate) async fn give_up(mut self, fault: &Error) {
        // If somebody else owns it by now, that changes nothing. A run that was stopped by the one around it has
        // nothing wrong with itself. If the end cannot be written either, the run stays interrupted, which loses
        // nothing.
        let inherited = self.run.is_stopped_with_parent();
        match fault {
            Error::Cancelled { .. } => _ = self.end(End::Asked(Wanted::Cancel)).await,
            Error::Paused { .. } if !inherited => _ = self.end(End::Asked(Wanted::Pause)).await,
            Error::Unloaded { until, .. } if !inherited => {
                (self.lease.wake_at, self.lease.awaits) = (Some(*until), self.run.awaited().cloned());
            }
            fault if fault.would_come_again() && !inherited => {
                _ = self.end(End::Halted { fault: fault.to_string(), escaped: false }).await;
            }
            // What failed at the moment is tried again, though not at once.
            Error::Store { .. } if self.run.in_background => self.retry_after(RETRY_AFTER),
            _ => {}
        }
        self.release().await;
    }

    /// Has a run in the background taken up again some time later.
    fn retry_after(&mut self, time: Duration) {
        self.lease.wake_at = Some(self.run.settings.clock.now().plus(time));
    }

    /// Gives the run up after a panic of its body; halts it if the same would come again, or if it was taken up too
    /// often by now.
    pub(crate) async fn give_up_panicked(mut self, message: &str) -> Error {
        let fault = self.run.panicked(message);
        if fault.would_come_again() || self.recoveries >= self.run.settings.recoveries_max {
            let ended = self.end(End::Halted { fault: fault.to_string(), escaped: true }).await;
            if ended.is_err() && self.run.in_background {
                self.retry_after(RETRY_AFTER);
            }
        } else {
            self.lease.panicked = Some(message.to_owned());
            if self.run.in_background {
                self.retry_after(backoff(self.recoveries));
            }
        }
        self.release().await;
        fault
    }

    /// Gives up what was not ended, before the caller hears of it.
    async fn release(&mut self) {
        if let Some(op) = self.lease.release() {
            self.run.core.commit_soon(self.run.mode, op).await;
        }
    }

    async fn end(&mut self, end: End) -> Result<(), Error> {
        let run = &self.run;
        run.core.check_process()?;
        let (id, epoch, at) = (run.id.clone(), run.epoch, run.settings.clock.now());
        let answer = run.core.commit(run.mode, Op::Finish(Finish { id, epoch, end, at })).await;
        let answer = answer.map_err(|source| Error::store(&run.id, source))?;
        self.lease.over = true;
        if answer == Answer::Done { Ok(()) } else { Err(Error::LostOwnership { workflow: run.id.clone() }) }
    }

    /// Steps that are recorded and were not called this time: the program has changed at its end.
    fn report_unreached(&self) {
        let unreached = self.run.history.unreached();
        if !unreached.is_empty() {
            let keys: Vec<_> = unreached.iter().map(StepKey::as_str).collect();
            trace::warn(
                Some(&self.run.id),
                &format!("the run ended without reaching its recorded steps {}", keys.join(", ")),
            );
        }
    }
}
