//! The outcomes of a run on their way into the store, with the markers that they rest on, and what comes of them.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Run, Slot};
use crate::error::Error;
use crate::signal::{Given, block_on};
use crate::store::batch::{Answered, Ticket};
use crate::store::{Act, Answer, Effect, Op, Record, StepRecord};
use crate::sync::atomic::Ordering;

impl Run {
    /// Records an outcome, and the markers that it rests on. After an error nothing more of this run is recorded.
    pub(crate) fn record(&self, step: StepRecord, slot: Slot) -> Result<(), Error> {
        let record = self.to_record(step, slot)?;
        let markers = record.markers.clone();
        let answered = self.core.commits.commit(Op::Record(record));
        self.recorded(answered, &markers).unwrap_or_else(|| block_on(self.unless_stopped(pending())))
    }

    /// Hands over the same to be recorded.
    pub(crate) fn submit(&self, step: StepRecord, slot: Slot) -> Result<Submitted, Error> {
        let record = self.to_record(step, slot)?;
        let markers = record.markers.clone();
        Ok(Submitted { ticket: self.core.commits.submit(Op::Record(record)), markers, stops: None })
    }

    /// What came of a record, once the run is stopped if it is to be.
    pub(crate) async fn settled(&self, answered: Answered, markers: &[StepRecord]) -> Result<(), Error> {
        match self.recorded(answered, markers) {
            Some(recorded) => recorded,
            None => self.unless_stopped(pending()).await,
        }
    }

    /// Hands over an outcome to be recorded with what it does.
    pub(crate) fn submit_act(&self, step: StepRecord, effect: Effect) -> Result<Submitted, Error> {
        let record = self.to_record(step, Slot::New)?;
        let markers = record.markers.clone();
        let ticket = self.core.commits.submit(Op::Act(Act { record, effect }));
        Ok(Submitted { ticket, markers, stops: None })
    }

    /// What is recorded with an outcome: the markers that it rests on.
    pub(crate) fn to_record(&self, step: StepRecord, slot: Slot) -> Result<Record, Error> {
        let markers = self.markers.before(&step.position);
        if slot == Slot::New {
            self.check_record(1 + markers.len())?;
        }
        self.core.check_process()?;
        if self.check.is_some() {
            return Err(Error::LostOwnership { workflow: self.id.clone() });
        }
        Ok(Record { id: self.id.clone(), step, markers, is_shielded: self.is_shielded() })
    }

    /// That the run may record so many rows more.
    fn check_record(&self, rows: usize) -> Result<(), Error> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        // No record has so many markers as a u32 can count.
        let more = u32::try_from(rows).unwrap_or(u32::MAX);
        let before = self.recorded.fetch_add(more, Ordering::Relaxed) as usize + self.history.len();
        if before + rows > self.settings.steps_max as usize {
            return Err(Error::TooManySteps {
                workflow: self.id.clone(),
                steps_max: self.settings.steps_max,
            });
        }
        Ok(())
    }

    /// What came of a record, and of these markers with it; `None` if the run is stopped for it once the shield of
    /// another branch has ended.
    pub(crate) fn recorded(&self, answered: Answered, markers: &[StepRecord]) -> Option<Result<(), Error>> {
        let fault = match answered {
            Ok(Answer::Done) => {
                self.markers.remove(markers);
                return Some(Ok(()));
            }
            // It was handed over before that branch came to its shield.
            Ok(Answer::Wanted(wanted)) if self.defers(wanted) => return None,
            Ok(Answer::Wanted(wanted)) => Error::wanted(&self.id, wanted),
            Ok(_) => Error::LostOwnership { workflow: self.id.clone() },
            Err(source) => Error::store(&self.id, source),
        };
        // Before anybody else hears of it: a branch that records meanwhile would stand after a gap.
        self.stop(fault.clone());
        Some(Err(fault))
    }
}

/// A record that was handed over.
pub(crate) struct Submitted {
    ticket: Ticket,
    markers: Vec<StepRecord>,
    /// It was refused, and the run will be stopped.
    stops: Option<Given>,
}

impl Submitted {
    /// Ready once it is as durable as the store makes it.
    pub(crate) fn poll(&mut self, run: &Run, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { ticket, markers, stops } = self;
        if stops.is_none() {
            let answered = ready!(Pin::new(ticket).poll(cx));
            if let Some(recorded) = run.recorded(answered, markers) {
                return Poll::Ready(recorded);
            }
        }
        ready!(Pin::new(stops.get_or_insert_with(|| run.stopped())).poll(cx));
        Poll::Ready(run.fault().map_or(Ok(()), |fault| Err(fault.clone())))
    }
}
