//! The way of a run into the background: its start is recorded, then it is handed over. Inside a run that is an
//! operation, so the run that it starts is started once.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::checking::{check_called, check_polled};
use super::{AsyncRunBuilder, Invocation, Prepared, RunBuilder};
use crate::args::ArgsSink;
use crate::background::{Execution, Job, Order, Settled};
use crate::call::{Call, Known};
use crate::engine::Engine;
use crate::entry::{Admission, Intent, Wait};
use crate::error::Error;
use crate::handle::Handle;
use crate::held::Held;
use crate::key::WorkflowId;
use crate::memo::is_unwinding;
use crate::outcome::{Encoded, Json, encode_input};
use crate::registry::{AsyncWorkflow, SyncWorkflow, Workflow};
use crate::run::{Ambient, Mode, Run};
use crate::scheduler;
use crate::scope::Scope;
use crate::signal::{Given, block_on};
use crate::store::{Kind, StepStatus};
use crate::trace;

impl<W: SyncWorkflow> RunBuilder<W> {
    /// Hands the run over to the background of the engine, once its start is as durable as the store makes it:
    /// a run that dies with this process is taken up by [`Engine::recover`]. One that is there already is gone
    /// on with if it was interrupted; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`Error::InputMismatch`] if the id belongs to another workflow or to other arguments,
    /// [`Error::ShutDown`] after [`Engine::shutdown`], and what the store says. Inside a run they end that run.
    pub fn start(self) -> Result<Handle<W>, Error> {
        self.call.start(None)
    }

    /// As [`RunBuilder::start`], but a new run begins only once `delay` has passed.
    ///
    /// # Errors
    /// Those of [`RunBuilder::start`].
    pub fn start_after(self, delay: Duration) -> Result<Handle<W>, Error> {
        self.call.start(Some(delay))
    }
}

impl<W: AsyncWorkflow> AsyncRunBuilder<W> {
    /// Hands the run over to the background of the engine, once its start is as durable as the store makes it:
    /// a run that dies with this process is taken up by [`Engine::recover`]. One that is there already is gone
    /// on with if it was interrupted; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`Error::InputMismatch`] if the id belongs to another workflow or to other arguments,
    /// [`Error::ShutDown`] after [`Engine::shutdown`], [`Error::RuntimeShutDown`] once the tokio runtime of the engine has
    /// shut down, and what the store says. Inside a run they end that run; without its runtime, a run is started there
    /// all the same, for another engine to execute.
    pub fn start(self) -> StartFuture<W> {
        StartFuture { inner: Box::pin(start_async(self.call, None)) }
    }

    /// As [`AsyncRunBuilder::start`], but a new run begins only once `delay` has passed.
    ///
    /// # Errors
    /// Those of [`AsyncRunBuilder::start`].
    pub fn start_after(self, delay: Duration) -> StartFuture<W> {
        StartFuture { inner: Box::pin(start_async(self.call, Some(delay))) }
    }
}

/// The future of a start. It does nothing until it is polled.
#[must_use = "futures do nothing unless they are awaited"]
pub struct StartFuture<W: Workflow> {
    inner: Pin<Box<dyn Future<Output = Result<Handle<W>, Error>> + Send>>,
}

impl<W: Workflow> Future for StartFuture<W> {
    type Output = Result<Handle<W>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<W: Workflow> fmt::Debug for StartFuture<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartFuture").field("workflow", &W::SPEC.name).finish_non_exhaustive()
    }
}

impl<W: SyncWorkflow> Invocation<W> {
    fn start(self, delay: Option<Duration>) -> Result<Handle<W>, Error> {
        match Ambient::current() {
            Ambient::Inside(scope) if !is_unwinding(&scope) => {
                let started =
                    self.into_start(delay).and_then(|start| block_on(start.inside(&scope, Mode::Called)));
                Ok(started.unwrap_or_else(|fault| scope.run.unwind(fault)))
            }
            ambient => block_on(self.into_start(delay)?.hand_over(ambient.run(), Mode::Called)),
        }
    }
}

async fn start_async<W: AsyncWorkflow>(
    call: Invocation<W>,
    delay: Option<Duration>,
) -> Result<Handle<W>, Error> {
    match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope) => {
            let started = async { call.into_start(delay)?.inside(&scope, Mode::Polled).await };
            Ok(scope.run.or_suspended(started).await)
        }
        ambient => call.into_start(delay)?.hand_over(ambient.run(), Mode::Polled).await,
    }
}

impl<W: Workflow> Invocation<W> {
    fn into_start(self, delay: Option<Duration>) -> Result<Prepared<W>, Error> {
        let mut prepared = self.prepare()?;
        let now = prepared.engine.settings.clock.now();
        prepared.intent = Intent::Start(delay.filter(|delay| !delay.is_zero()).map(|delay| now.plus(delay)));
        Ok(prepared)
    }
}

impl<W: Workflow> Prepared<W> {
    /// The run with this id, whatever its arguments.
    pub(crate) fn of(engine: Engine, id: WorkflowId) -> Self {
        Self { intent: Intent::Recover, id, input: None, engine, deadline: None, workflow: PhantomData }
    }

    async fn hand_over(self, parent: Option<&Arc<Run>>, mode: Mode) -> Result<Handle<W>, Error> {
        let background = &self.engine.settings.background;
        if background.is_closed() {
            return Err(Error::ShutDown);
        }
        // Inside a run it is stored, and left to another engine: nothing is wrong with that run.
        if parent.is_none() && !background.executes(W::EXECUTION.mode, &self.engine.core) {
            return Err(Error::RuntimeShutDown { workflow: self.id });
        }
        scheduler::take_up(&self.engine);
        match self.admit_stored(parent, mode).await? {
            Admission::Run(held, input) => {
                let (core, settings) = (Arc::clone(&self.engine.core), Arc::clone(&self.engine.settings));
                Order { core, settings, id: self.id.clone(), held: Some((held, input)) }.submit(W::EXECUTION);
            }
            // It may be due at once.
            Admission::Left => background.attendance.nudge(),
            Admission::Wait(_) | Admission::Ended(..) => {}
        }
        Ok(Handle::new(self.engine, self.id))
    }

    /// Looks at the store until the run is there. Another call of this process may be on its way to start it, and
    /// may as well find that it cannot: only once it executes the run is there a run to hand over to it.
    async fn admit_stored(&self, parent: Option<&Arc<Run>>, mode: Mode) -> Result<Admission, Error> {
        loop {
            // Before the look, so that no change after it is missed.
            let watch = self.engine.core.watch(&self.id);
            match self.admit(parent, mode).await? {
                Admission::Wait(Wait::Signal(..)) => {
                    let changed = Given::new(Arc::clone(&watch.changed));
                    match parent {
                        Some(parent) => parent.unless_left(changed).await?,
                        None => changed.await,
                    }
                }
                stored => return Ok(stored),
            }
        }
    }

    /// The same as an operation of another run.
    async fn inside(self, scope: &Arc<Scope>, mode: Mode) -> Result<Handle<W>, Error> {
        let mut args = ArgsSink::new();
        args.add(self.id.as_str());
        args.add(&self.input.as_ref().map(|input| input.fingerprint));
        let call = Call::begin(scope, Kind::Start, W::SPEC.name, W::SPEC.site, args.finish())?;
        let call = match call.look()?.awaited().await? {
            Known::Nothing(call) => call,
            Known::Output(call, output) => {
                let at = call.run().history.step_of(&output).timestamp();
                call.end(at);
                return Ok(Handle::new(self.engine, self.id));
            }
        };
        let handle = self.hand_over(Some(&scope.run), mode).await?;
        let id = handle.id().as_str().to_owned();
        let (json, _) =
            encode_input(Json::<String>::NEW, &id, usize::MAX).map_err(|source| call.unstorable(source))?;
        call.conclude(Encoded { status: StepStatus::Completed, json }, mode).await?;
        Ok(handle)
    }

    /// The right to execute a run that nobody executes; `None` if it is not for this process to do so.
    async fn claim(&self, mode: Mode) -> Result<Option<(Held, String)>, Error> {
        match self.admit(None, mode).await? {
            Admission::Run(held, input) => Ok(Some((held, input))),
            _ => Ok(None),
        }
    }
}

/// How a run of a plain function is executed in the background.
pub const fn called<W: SyncWorkflow>() -> Execution {
    Execution { mode: Mode::Called, execute: execute_called::<W>, check: check_called::<W> }
}

/// How a run of an async function is executed in the background.
pub const fn polled<W: AsyncWorkflow>() -> Execution {
    Execution { mode: Mode::Polled, execute: execute_polled::<W>, check: check_polled::<W> }
}

fn execute_called<W: SyncWorkflow>(order: Order) -> Job {
    let Order { core, settings, id, held } = order;
    let mut job = Settles { prepared: Prepared::<W>::of(Engine { core, settings }, id), how: Settled::Ended };
    Job::Called(Box::new(move || {
        let held = match held {
            Some(held) => Some(held),
            None => job.claimed(block_on(job.prepared.claim(Mode::Called))),
        };
        if let Some((held, input)) = held {
            let executed = job.prepared.conduct(held, &input);
            job.report(executed.map(drop));
        }
    }))
}

fn execute_polled<W: AsyncWorkflow>(order: Order) -> Job {
    let Order { core, settings, id, held } = order;
    let mut job = Settles { prepared: Prepared::<W>::of(Engine { core, settings }, id), how: Settled::Ended };
    Job::Polled(Box::pin(async move {
        let held = if held.is_some() {
            held
        } else {
            let claimed = job.prepared.claim(Mode::Polled).await;
            job.claimed(claimed)
        };
        if let Some((held, input)) = held {
            let executed = job.prepared.conduct_async(held, input).await;
            job.report(executed.map(drop));
        }
    }))
}

/// A run that is being taken up, until this is dropped.
struct Settles<W> {
    prepared: Prepared<W>,
    how: Settled,
}

impl<W> Settles<W> {
    fn claimed(&mut self, claimed: Result<Option<(Held, String)>, Error>) -> Option<(Held, String)> {
        claimed.unwrap_or_else(|fault| {
            self.how = Settled::Missed;
            self.warn(&fault);
            None
        })
    }

    /// What came of it is in the store; a fault is in its row only if it would come again.
    fn report(&mut self, executed: Result<(), Error>) {
        let Err(fault) = executed else { return };
        self.how = Settled::Waits;
        let asked_for = matches!(
            fault,
            Error::Unloaded { .. }
                | Error::ShutDown
                | Error::RuntimeShutDown { .. }
                | Error::Cancelled { .. }
                | Error::Paused { .. }
        );
        if !asked_for {
            self.warn(&fault);
        }
    }

    fn warn(&self, fault: &Error) {
        let message = format!("the run stopped in the background: {fault}");
        trace::warn(Some(&self.prepared.id), &message);
    }
}

impl<W> Drop for Settles<W> {
    fn drop(&mut self) {
        let Self { prepared, how } = self;
        prepared.engine.settings.background.attendance.settled(&prepared.id, *how);
    }
}
