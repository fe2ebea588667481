//! What is left in the hand after a run was started in the background, or found by its id: its state, its end,
//! and what can be asked of it. Knows no rows but what they say.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::call::{Call, Known};
use crate::engine::Engine;
use crate::error::{Error, RunError};
use crate::invoke::{Outcome, Prepared, record};
use crate::key::WorkflowId;
use crate::lookout::Lookout;
use crate::memo::is_unwinding;
use crate::outcome::Encoded;
use crate::pool::while_blocked;
use crate::registry::Workflow;
use crate::run::{Ambient, Mode, Run};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::sleep::LOADED_MAX;
use crate::store::{Awaits, RunRecord, RunStatus, StepStatus, StoreError};

/// A run of the workflow `W`, whoever executes it. A clone is the same handle; dropped, it changes nothing.
///
/// Await it, or call [`Handle::wait`], for the value or the error that the workflow returns. Inside a run that
/// takes a position, and what came of it is recorded there.
pub struct Handle<W> {
    engine: Engine,
    id: WorkflowId,
    workflow: PhantomData<fn() -> W>,
}

impl<W: Workflow> Handle<W> {
    pub(crate) fn new(engine: Engine, id: WorkflowId) -> Self {
        Self { engine, id, workflow: PhantomData }
    }

    /// The id of the run.
    pub fn id(&self) -> &WorkflowId {
        &self.id
    }

    /// The state that the run is in.
    ///
    /// # Errors
    /// [`Error::UnknownRun`] if it was reset, and what the store says.
    pub fn status(&self) -> Result<RunStatus, Error> {
        let run = self.engine.run(self.id.as_str())?;
        run.map(|run| run.status).ok_or_else(|| Error::UnknownRun { workflow: self.id.clone() })
    }

    /// Waits until the run has ended, by blocking this thread, and returns what the workflow returned. In async code await
    /// the handle: the thread may be one that the run needs.
    ///
    /// # Errors
    /// [`RunError::Failed`] with the workflow's own error. [`RunError::Engine`] with [`Error::Cancelled`],
    /// [`Error::Halted`] or [`Error::UnknownRun`], with [`Error::RuntimeShutDown`] if nobody executes the run and
    /// this engine cannot any more, and with what the store says.
    pub fn wait(&self) -> Outcome<W> {
        let prepared = self.prepared();
        let returned = match Ambient::current() {
            Ambient::Inside(scope) if !is_unwinding(&scope) => {
                wait_inside(&prepared, &scope).unwrap_or_else(|fault| scope.run.unwind(fault))
            }
            ambient => {
                let encoded = while_blocked(|| {
                    block_on(ended::<W>(&prepared, Waiter::of(ambient.run()), Mode::Called))
                })?;
                prepared.stored(encoded)?.returned
            }
        };
        W::into_result(returned).map_err(RunError::Failed)
    }

    /// Asks the run to end: [`Engine::cancel`].
    ///
    /// # Errors
    /// Those of [`Engine::cancel`].
    pub fn cancel(&self) -> Result<(), Error> {
        self.engine.cancel(self.id.as_str())
    }

    /// Has a run that failed or was halted tried again: [`Engine::retry`].
    ///
    /// # Errors
    /// Those of [`Engine::retry`].
    pub fn retry(&self) -> Result<(), Error> {
        self.engine.retry(self.id.as_str())
    }

    fn prepared(&self) -> Prepared<W> {
        Prepared::of(self.engine.clone(), self.id.clone())
    }
}

fn wait_inside<W: Workflow>(prepared: &Prepared<W>, scope: &Arc<Scope>) -> Result<W::Returned, Error> {
    match prepared.begin(scope)?.here()? {
        Known::Output(call, output) => Prepared::<W>::give_back(call, &output),
        Known::Nothing(call) => {
            let waited = ended::<W>(prepared, Waiter::Call(&call), Mode::Called);
            let encoded = while_blocked(|| block_on(waited))?;
            record(call, prepared.stored(encoded)?)
        }
    }
}

async fn wait_polled<W: Workflow>(prepared: Prepared<W>) -> Outcome<W> {
    let returned = match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope) => {
            let recorded = async {
                let call = match prepared.begin(&scope)?.awaited().await? {
                    Known::Output(call, output) => return Prepared::<W>::give_back(call, &output),
                    Known::Nothing(call) => call,
                };
                let encoded = ended::<W>(&prepared, Waiter::Call(&call), Mode::Polled).await?;
                call.conclude(encoded.clone(), Mode::Polled).await?;
                Ok(prepared.stored(encoded)?.returned)
            };
            scope.run.or_suspended(recorded).await
        }
        ambient => {
            let encoded = ended::<W>(&prepared, Waiter::of(ambient.run()), Mode::Polled).await?;
            prepared.stored(encoded)?.returned
        }
    };
    W::into_result(returned).map_err(RunError::Failed)
}

/// Who waits for the end of a run.
#[derive(Clone, Copy)]
enum Waiter<'a> {
    Outside,
    /// A step of this run, which cannot be unloaded.
    Step(&'a Arc<Run>),
    /// An operation of a run.
    Call(&'a Call),
}

impl<'a> Waiter<'a> {
    fn of(run: Option<&'a Arc<Run>>) -> Self {
        run.map_or(Self::Outside, Self::Step)
    }

    fn run(self) -> Option<&'a Arc<Run>> {
        match self {
            Self::Outside => None,
            Self::Step(run) => Some(run),
            Self::Call(call) => Some(call.run()),
        }
    }

    /// Whether it hears that nobody executes the run any more. A run in the background waits on, in its row: whoever
    /// goes on with the other one goes on with it too.
    fn is_told(self) -> bool {
        self.run().is_none_or(|run| !run.in_background)
    }

    fn call(self) -> Option<&'a Call> {
        if let Self::Call(call) = self { Some(call) } else { None }
    }
}

/// How the run ended, once it has.
async fn ended<W: Workflow>(
    prepared: &Prepared<W>,
    waiter: Waiter<'_>,
    mode: Mode,
) -> Result<Encoded, Error> {
    let (engine, id) = (&prepared.engine, &prepared.id);
    engine.core.check_process()?;
    let _waiting = engine.core.wait(waiter.run().map(|run| (&*run.core, &run.id)), id)?;
    let lookout = Lookout { engine, of: id, call: waiter.call(), deadline: None, grace: LOADED_MAX };
    let executes = || engine.settings.background.executes(W::EXECUTION.mode, &engine.core);
    // Before the first look, so that its end is told from now on.
    executes();
    let look = || async {
        let of_this_store = waiter.run().filter(|run| run.core.number() == engine.core.number());
        let (sought, from) = (id.clone(), of_this_store.map(|run| run.id.clone()));
        let looked = engine.core.read(mode, move |reader| {
            let run = reader.run(&sought)?;
            let waits = run.as_ref().is_some_and(|run| run.waits_for().is_some());
            let circle = match from.filter(|_| waits) {
                Some(from) => RunRecord::circle(&from, &sought, |id| reader.run(id))?,
                None => None,
            };
            Ok::<_, StoreError>((run, circle))
        });
        let (run, circle) = looked.await.map_err(|source| Error::store(id, source))?;
        if let (Some(waiter), Some(chain)) = (waiter.run(), circle) {
            return Err(Error::WaitsForItself { workflow: waiter.id.clone(), chain });
        }
        let run = run.ok_or_else(|| Error::UnknownRun { workflow: id.clone() })?;
        let is_left = run.owner.is_none();
        match end_of::<W>(run)? {
            None if is_left && waiter.is_told() && !executes() => {
                Err(Error::RuntimeShutDown { workflow: id.clone() })
            }
            end => Ok(end),
        }
    };
    let wait = lookout.find(|| Awaits::End { of: id.clone() }, look);
    let found = match waiter {
        Waiter::Step(run) => run.unless_left(wait).await??,
        Waiter::Outside | Waiter::Call(_) => wait.await?,
    };
    // Without a deadline a wait finds what it looks for.
    found.ok_or_else(|| Error::UnknownRun { workflow: id.clone() })
}

/// How the run ended, if it has.
fn end_of<W: Workflow>(run: RunRecord) -> Result<Option<Encoded>, Error> {
    if run.name != W::SPEC.name {
        let (workflow, recorded, found) = (run.id, run.name, W::SPEC.name);
        return Err(Error::OtherWorkflow { workflow, recorded, found });
    }
    let (workflow, is_to_go_on) = (run.id, run.wake_at.is_some());
    let encoded = |status, json: Option<String>| Some(Encoded { status, json: json.unwrap_or_default() });
    match run.status {
        RunStatus::Completed => Ok(encoded(StepStatus::Completed, run.output)),
        RunStatus::Failed if !is_to_go_on => Ok(encoded(StepStatus::Failed, run.error)),
        RunStatus::Halted if !is_to_go_on => {
            Err(Error::Halted { workflow, fault: run.error.unwrap_or_default() })
        }
        RunStatus::Cancelled => Err(Error::Cancelled { workflow }),
        _ => Ok(None),
    }
}

impl<W> Clone for Handle<W> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), id: self.id.clone(), workflow: PhantomData }
    }
}

impl<W: Workflow> fmt::Debug for Handle<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("workflow", &W::SPEC.name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<W: Workflow> IntoFuture for Handle<W> {
    type Output = Outcome<W>;
    type IntoFuture = HandleFuture<W>;

    fn into_future(self) -> HandleFuture<W> {
        HandleFuture { inner: Box::pin(wait_polled(self.prepared())) }
    }
}

impl<W: Workflow> IntoFuture for &Handle<W> {
    type Output = Outcome<W>;
    type IntoFuture = HandleFuture<W>;

    fn into_future(self) -> HandleFuture<W> {
        self.clone().into_future()
    }
}

/// The future of the end of a run. Dropped, it changes nothing about the run.
#[must_use = "futures do nothing unless they are awaited"]
pub struct HandleFuture<W: Workflow> {
    inner: Pin<Box<dyn Future<Output = Outcome<W>> + Send>>,
}

impl<W: Workflow> Future for HandleFuture<W> {
    type Output = Outcome<W>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<W: Workflow> fmt::Debug for HandleFuture<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandleFuture").field("workflow", &W::SPEC.name).finish_non_exhaustive()
    }
}
