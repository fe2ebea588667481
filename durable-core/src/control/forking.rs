//! The fork of a run: a new run that has what the old one recorded before a step, and goes on from there by itself.
//! The old run is only read, so whatever comes of the fork, it stays as it is.

use crate::draw;
use crate::engine::Engine;
use crate::error::{Error, ForkRefused};
use crate::key::{Position, WorkflowId};
use crate::outcome::check_json;
use crate::store::{Answer, Fork, Op, Ownership};

impl Engine {
    /// Makes the run `new_id` of the same workflow with the same input, which has recorded what the run `id` had
    /// recorded before the step `from_step`; returns how many operations were copied. Nothing is executed: the
    /// fork is interrupted there, and `run_durable` with its id, `resume` or [`Engine::recover`] goes on with it.
    ///
    /// The run `id` may be in any state, also live, and stays as it is. What is copied is what a
    /// [`Engine::rewind`] to that step would keep: neither the step, nor what comes after it in the order of the
    /// positions (so all later branches of a construct that it stands in), nor the inline children around it. The
    /// fork has the seed and the time of start of the original, so `random`, `uuid` and `now` give on replay what
    /// they gave; its idempotency keys are its own. It has no parent and no deadline. What others hold of the
    /// original is not copied: messages that it has not received, the events that it published, and the runs that
    /// it started; a fork that comes to the start of the same id meets that same run.
    ///
    /// To fork the same run from the same step to the same id again, before the fork has run, changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::UnknownStep`], and [`Error::ForkRefused`] if `new_id` is taken.
    /// [`Error::Store`] if one of the copied rows is damaged.
    ///
    /// # Durability
    /// The fork with all that is copied is one transaction, committed when this returns.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// let refused = engine.fork("order-123", "ship_1", "order-123-again");
    /// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fork(&self, id: impl AsRef<str>, from_step: &str, new_id: impl AsRef<str>) -> Result<u64, Error> {
        self.fork_from(id.as_ref(), from_step, new_id.as_ref(), None)
    }

    /// As [`Engine::fork`], but in the fork the copied step `step` has returned `output`, as JSON, whether it had
    /// completed or failed: "what if the payment had been declined?".
    ///
    /// The row is marked as edited (`checksum` is null, `StepRecord::edited` is true). `output` is stored as it is:
    /// the engine cannot know the step's type, so one that does not fit it halts the fork with
    /// [`Error::Undecodable`] when it is replayed. For a step that returns a `Result`, it is what stands in `Ok`;
    /// for a sleep, the time to wake in unix milliseconds; for a race, the number of the branch that decided it; for a received
    /// message or a read event, the value in an array (`[5]`), or `null` if there was none. A step
    /// with `at_most_once` that was interrupted has ended like this in the fork: the way to say how it did by hand.
    /// `from_step` can be `step` itself, which is the last one that is copied then.
    ///
    /// # Errors
    /// Those of [`Engine::fork`], [`Error::UnknownStep`] for `step` too, and [`Error::ForkRefused`] if that step is not
    /// copied, or if `output` is no JSON that can be read back, or longer than
    /// [`Builder::payload_bytes_max`](crate::Builder::payload_bytes_max).
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// let refused = engine.fork_with("order-123", "ship_1", "order-123-free", "charge_0", "{\"cents\":0}");
    /// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fork_with(
        &self,
        id: impl AsRef<str>,
        from_step: &str,
        new_id: impl AsRef<str>,
        step: &str,
        output: &str,
    ) -> Result<u64, Error> {
        self.fork_from(id.as_ref(), from_step, new_id.as_ref(), Some((step, output)))
    }

    fn fork_from(
        &self,
        id: &str,
        from_step: &str,
        new_id: &str,
        changed: Option<(&str, &str)>,
    ) -> Result<u64, Error> {
        self.core.check_process()?;
        let (id, to) = (WorkflowId::new(id)?, WorkflowId::new(new_id)?);
        let (nonce, at) = (draw::fresh(), self.settings.clock.now());
        loop {
            let ownership = self.core.reader().ownership(&id).map_err(|source| Error::store(&id, source))?;
            let Some(Ownership { epoch: expected, .. }) = ownership else {
                return Err(Error::UnknownRun { workflow: id });
            };
            let mut from = self.position_of(&id, from_step)?;
            if changed.is_some_and(|(step, _)| step == from_step) {
                from = behind(&from).unwrap_or(from);
            }
            let changed =
                changed.map(|changed| self.check_changed(&id, from_step, &from, changed)).transpose()?;
            let op = Op::Fork(Fork { id: id.clone(), expected, to: to.clone(), from, changed, nonce, at });
            match self.core.commits.commit(op).map_err(|source| Error::store(&id, source))? {
                Answer::Forked(steps) => return Ok(steps),
                Answer::Exists => {
                    return Err(Error::ForkRefused(Box::new(ForkRefused::Taken { workflow: id, taken: to })));
                }
                // It was rewound or taken up meanwhile: look again.
                _ => {}
            }
        }
    }

    fn position_of(&self, id: &WorkflowId, key: &str) -> Result<Position, Error> {
        let position = self.core.reader().position(id, key).map_err(|source| Error::store(id, source))?;
        position.ok_or_else(|| Error::UnknownStep { workflow: id.clone(), step: key.to_owned() })
    }

    /// The position of the step that is to have another output, and that output.
    fn check_changed(
        &self,
        id: &WorkflowId,
        from_step: &str,
        from: &Position,
        (step, output): (&str, &str),
    ) -> Result<(Position, String), Error> {
        let refused = |reason| ForkRefused::Output { workflow: id.clone(), step: step.to_owned(), reason };
        let bytes_max = self.settings.payload_bytes_max;
        let checked = if output.len() > bytes_max {
            Err(refused(format!("it has {} bytes, and {bytes_max} are the most", output.len())))
        } else {
            check_json(output).map_err(|reason| refused(format!("it is no JSON: {reason}")))
        };
        checked.map_err(|refused| Error::ForkRefused(Box::new(refused)))?;
        let position = self.position_of(id, step)?;
        if position < *from && !from.is_below(&position) {
            return Ok((position, output.to_owned()));
        }
        let (workflow, step, from) = (id.clone(), step.to_owned(), from_step.to_owned());
        Err(Error::ForkRefused(Box::new(ForkRefused::NotCopied { workflow, step, from })))
    }
}

/// The position behind `position` and all that lies below it.
fn behind(position: &Position) -> Option<Position> {
    Some(Position::within(position.scope(), position.number().checked_add(1)?))
}
