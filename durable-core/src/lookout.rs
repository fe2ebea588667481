//! How an operation waits for what comes from elsewhere: a message, an event of another run. In this process it
//! is told, from others it hears with the next look of the scheduler; a run in the background that has nothing
//! else to do is unloaded from memory, and its row says what wakes it.
//! The one rule: whoever waits looks after it has begun to listen, so nothing that comes between is missed.
//! Knows no types of the user.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::call::Call;
use crate::clock::{Pause, Timestamp, next_pause};
use crate::engine::Engine;
use crate::error::Error;
use crate::key::WorkflowId;
use crate::memo::is_unwinding;
use crate::run::{Ambient, Run, StepContext};
use crate::scheduler;
use crate::scope::Scope;
use crate::signal::Given;
use crate::sleep::LOADED_MAX;
use crate::store::Awaits;

/// What calls an operation that reaches beyond its run.
pub(crate) enum Caller {
    /// Nothing durable, or a `Drop` while a panic unwinds.
    Outside(Engine),
    /// The body of a step: what it does is done again with each attempt.
    Step(Arc<StepContext>),
    /// The body of a workflow, or a branch of one.
    Body(Arc<Scope>),
}

impl Caller {
    pub(crate) fn here() -> Result<Self, Error> {
        Ok(match Ambient::current() {
            Ambient::Inside(scope) if !is_unwinding(&scope) => Self::Body(scope),
            Ambient::InStep(step) => Self::Step(step),
            _ => Self::Outside(Engine::ambient()?),
        })
    }
}

/// The engine of this run.
pub(crate) fn engine_of(run: &Run) -> Engine {
    Engine { core: Arc::clone(&run.core), settings: Arc::clone(&run.settings) }
}

/// Tells those who wait for what has happened to the run `id`, in this process; the others hear of it by their
/// schedulers.
pub(crate) fn tell(engine: &Engine, id: &WorkflowId) {
    engine.core.tell_watchers(id);
    engine.settings.background.attendance.nudge();
}

/// When a wait of `timeout` that begins at `from` is over; `None` if it never is.
pub(crate) fn deadline(from: Timestamp, timeout: Duration) -> Option<Timestamp> {
    Some(from.plus(timeout)).filter(|deadline| *deadline < Timestamp::NEVER)
}

/// One wait.
pub(crate) struct Lookout<'a> {
    pub(crate) engine: &'a Engine,
    /// The run whose changes are heard of.
    pub(crate) of: &'a WorkflowId,
    /// The operation that waits, if one does.
    pub(crate) call: Option<&'a Call>,
    /// Until when; `None` without end.
    pub(crate) deadline: Option<Timestamp>,
    /// How long the run stays loaded at first.
    pub(crate) grace: Duration,
}

impl Lookout<'_> {
    /// What `look` finds; `None` once the time has passed. `awaits` is what the run is taken up by if it is
    /// unloaded.
    pub(crate) async fn find<T, F>(
        &self,
        awaits: impl Fn() -> Awaits,
        mut look: impl FnMut() -> F,
    ) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<Option<T>, Error>>,
    {
        // It may come from another process.
        scheduler::attend(self.engine);
        let clock = &self.engine.settings.clock;
        let loaded_until = clock.elapsed().saturating_add(self.grace);
        loop {
            // Before the look, so that no change after it is missed.
            let watch = self.engine.core.watch(self.of);
            if let Some(found) = self.here(look()).await?? {
                return Ok(Some(found));
            }
            let left = self.deadline.map(|deadline| next_pause(&**clock, deadline));
            if left == Some(None) {
                return Ok(None);
            }
            let grace = loaded_until.saturating_sub(clock.elapsed());
            if grace.is_zero() {
                self.unload_if_long(&awaits)?;
            }
            let grace = Some(grace).filter(|grace| !grace.is_zero());
            let changed = Given::new(Arc::clone(&watch.changed));
            let mut changed = pin!(changed);
            let left = left.flatten().into_iter().chain(grace).min();
            let mut pause = pin!(left.map(|left| Pause::new(Arc::clone(clock), left)));
            let wait = poll_fn(|cx| match (changed.as_mut().poll(cx), pause.as_mut().as_pin_mut()) {
                (Poll::Pending, Some(pause)) => pause.poll(cx),
                (changed, _) => changed,
            });
            match self.call {
                Some(call) => self.here(call.run().unless_left(wait)).await??,
                None => wait.await,
            }
        }
    }

    /// Waits for `future`, as part of the operation if there is one.
    async fn here<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        match self.call {
            Some(call) => call.here(future).await,
            None => Ok(future.await),
        }
    }

    /// The fault that unloads the run, if this wait is all that it does, and can be a long one.
    fn unload_if_long(&self, awaits: impl Fn() -> Awaits) -> Result<(), Error> {
        let Some(call) = self.call.filter(|call| call.run().core.number() == self.engine.core.number())
        else {
            return Ok(());
        };
        let (run, until) = (call.run(), self.deadline.unwrap_or(Timestamp::NEVER));
        let is_long = until.since(self.engine.settings.clock.now()) > LOADED_MAX;
        if is_long && run.in_background && call.ticket.scope.is_alone() && cfg!(panic = "unwind") {
            run.awaits(awaits());
            return Err(Error::Unloaded { workflow: run.id.clone(), until });
        }
        Ok(())
    }
}
