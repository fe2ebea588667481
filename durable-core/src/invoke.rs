//! The entry points of a workflow: builders that name the id, the arguments and the engine, and run to the
//! end. Called inside a run they start a run of its own, take a position there and record its outcome.
//! Knows no rows and no SQL; the types of the user stop here.

use std::any::type_name;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::args::ArgsSink;
use crate::call::Call;
use crate::engine::Engine;
use crate::entry::{Admission, Encoding, Held, Request};
use crate::error::{Error, RunError};
use crate::fork::Panic;
use crate::key::WorkflowId;
use crate::memo::{WorkflowSpec, is_unwinding, message};
use crate::outcome::{
    Codec, Encoded, Settled, Tried, Undecodable, Unstorable, decode_input, encode_input, settle,
};
use crate::registry::{AsyncWorkflow, SyncWorkflow, Workflow};
use crate::run::{Ambient, Mode, Run, Stopped};
use crate::scope::Scope;
use crate::signal::{Given, block_on};
use crate::store::{End, Kind, StepStatus};
use crate::trace;

/// What an entry point returns.
type Outcome<W> = Result<<W as Workflow>::Value, RunError<<W as Workflow>::Error>>;

/// One call of a workflow: `fulfil::durable("order-123", order).on(&engine).run()`.
#[must_use = "a run starts with `.run()`"]
pub struct RunBuilder<W: Workflow> {
    call: Invocation<W>,
}

/// One call of an async workflow: `fulfil::durable("order-123", order).on(&engine).run().await`.
#[must_use = "a run starts with `.run().await`"]
pub struct AsyncRunBuilder<W: Workflow> {
    call: Invocation<W>,
}

/// The future of a run. It does nothing until it is polled; dropped before its end, it gives the run up, and
/// the next `run_durable` goes on from what is recorded.
#[must_use = "futures do nothing unless they are awaited"]
pub struct RunFuture<W: Workflow> {
    inner: Pin<Box<dyn Future<Output = Outcome<W>> + Send>>,
}

macro_rules! builder {
    ($Builder:ident) => {
        impl<W: Workflow> $Builder<W> {
            /// A run of `W` with this id and these arguments.
            pub fn new(id: impl AsRef<str>, input: W::Input) -> Self {
                Self { call: Invocation::new(id.as_ref(), Some(input)) }
            }

            /// The run with this id, with its stored arguments.
            pub fn resume(id: impl AsRef<str>) -> Self {
                Self { call: Invocation::new(id.as_ref(), None) }
            }

            /// Runs on `engine`. Otherwise on the engine of the current run, the one that was entered, the
            /// global one, or the one at `$DURABLE_DB`.
            pub fn on(mut self, engine: &Engine) -> Self {
                self.call.engine = Some(engine.clone());
                self
            }
        }

        impl<W: Workflow> fmt::Debug for $Builder<W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Builder))
                    .field("workflow", &W::SPEC.name)
                    .field("id", &self.call.id)
                    .finish_non_exhaustive()
            }
        }
    };
}

builder!(RunBuilder);
builder!(AsyncRunBuilder);

impl<W: SyncWorkflow> RunBuilder<W> {
    /// Runs or resumes to the end, and returns what the workflow returned. If the run is being executed
    /// elsewhere, waits for it.
    ///
    /// # Errors
    /// [`RunError::Failed`] with the workflow's own error, which is recorded; [`RunError::Engine`] for
    /// everything else.
    pub fn run(self) -> Outcome<W> {
        let returned = match Ambient::current() {
            Ambient::Inside(scope) if !is_unwinding(&scope.run) => {
                self.call.run_inside(&scope).unwrap_or_else(|fault| scope.run.unwind(fault))
            }
            // A step is no place for a position, but a run can wait for itself from there too.
            ambient => self.call.prepare()?.run(ambient.run())?.returned,
        };
        W::into_result(returned).map_err(RunError::Failed)
    }
}

impl<W: AsyncWorkflow> AsyncRunBuilder<W> {
    /// Runs or resumes to the end, and returns what the workflow returned. If the run is being executed
    /// elsewhere, waits for it.
    ///
    /// # Errors
    /// [`RunError::Failed`] with the workflow's own error, which is recorded; [`RunError::Engine`] for
    /// everything else.
    pub fn run(self) -> RunFuture<W> {
        RunFuture { inner: Box::pin(run_async(self.call)) }
    }
}

impl<W: Workflow> Future for RunFuture<W> {
    type Output = Outcome<W>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<W: Workflow> fmt::Debug for RunFuture<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFuture").field("workflow", &W::SPEC.name).finish_non_exhaustive()
    }
}

/// A call as the user wrote it, but for its arguments, which are encoded at once.
struct Invocation<W> {
    id: String,
    input: Option<Result<Encoding, Unstorable>>,
    engine: Option<Engine>,
    workflow: PhantomData<fn() -> W>,
}

/// A call with its id checked, its engine found and its arguments encoded.
struct Prepared<W> {
    id: WorkflowId,
    input: Option<Encoding>,
    engine: Engine,
    workflow: PhantomData<fn() -> W>,
}

/// How a run ended: as it is recorded, and as the function returned it.
struct Finished<R> {
    encoded: Encoded,
    returned: R,
}

impl<W: Workflow> Invocation<W> {
    fn new(id: &str, input: Option<W::Input>) -> Self {
        let encode = |input| {
            let (json, fingerprint) = encode_input(W::input(), &input, usize::MAX)?;
            Ok(Encoding { json, fingerprint })
        };
        Self { id: id.to_owned(), input: input.map(encode), engine: None, workflow: PhantomData }
    }

    fn prepare(self) -> Result<Prepared<W>, Error> {
        let id = WorkflowId::new(&self.id)?;
        let engine = self.engine.map_or_else(Engine::ambient, Ok)?;
        let bytes_max = engine.settings.payload_bytes_max;
        let input = self.input.transpose().and_then(|input| match input {
            Some(Encoding { json, .. }) if json.len() > bytes_max => {
                Err(Unstorable::TooLarge { type_name: type_name::<W::Input>(), bytes: json.len(), bytes_max })
            }
            input => Ok(input),
        });
        let input = input.map_err(|source| {
            let WorkflowSpec { name, site, .. } = *W::SPEC;
            Error::UnstorableInput { workflow: id.clone(), name, site, source: Arc::new(source) }
        })?;
        Ok(Prepared { id, input, engine, workflow: PhantomData })
    }
}

impl<W: SyncWorkflow> Invocation<W> {
    /// Runs as an operation of another run, which records the outcome at its own position.
    fn run_inside(self, scope: &Arc<Scope>) -> Result<W::Returned, Error> {
        let prepared = self.prepare()?;
        match prepared.begin(scope)? {
            Begun::Recorded(returned) => Ok(returned),
            Begun::Fresh(call) => record(call, prepared.run(Some(&scope.run))?),
        }
    }
}

impl<W: SyncWorkflow> Prepared<W> {
    fn run(&self, parent: Option<&Arc<Run>>) -> Result<Finished<W::Returned>, Error> {
        loop {
            match self.admit(parent, Mode::Called)? {
                Admission::Wait(wait) => block_on(wait.over(&self.engine, parent))?,
                Admission::Ended(status, json) => return self.stored(status, json),
                Admission::Run(held, input) => {
                    let (held, input) = self.decode(held, &input)?;
                    let called = {
                        let _entering = Ambient::Entering(Arc::clone(&held.run)).enter();
                        let span = trace::run_span(W::SPEC.name, &self.id);
                        catch_unwind(AssertUnwindSafe(|| span.in_scope(|| W::call(input))))
                    };
                    return close::<W>(held, called);
                }
            }
        }
    }
}

async fn run_async<W: AsyncWorkflow>(call: Invocation<W>) -> Outcome<W> {
    let returned = match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope.run) => run_async_inside(call, scope).await,
        ambient => call.prepare()?.run_async(ambient.run()).await?.returned,
    };
    W::into_result(returned).map_err(RunError::Failed)
}

/// Runs as an operation of another run, which records the outcome at its own position. After a fault it never
/// ends.
async fn run_async_inside<W: AsyncWorkflow>(call: Invocation<W>, scope: Arc<Scope>) -> W::Returned {
    let mut recorded = pin!(run_recorded(call, &scope));
    let mut fault = None;
    poll_fn(|cx| {
        let fault = match &fault {
            Some(fault) => Error::clone(fault),
            None => match ready!(recorded.as_mut().poll(cx)) {
                Ok(returned) => return Poll::Ready(returned),
                Err(new) => fault.insert(new).clone(),
            },
        };
        scope.run.suspend(cx, fault)
    })
    .await
}

async fn run_recorded<W: AsyncWorkflow>(
    call: Invocation<W>,
    scope: &Arc<Scope>,
) -> Result<W::Returned, Error> {
    let prepared = call.prepare()?;
    let call = match prepared.begin(scope)? {
        Begun::Recorded(returned) => return Ok(returned),
        Begun::Fresh(call) => call,
    };
    record(call, prepared.run_async(Some(&scope.run)).await?)
}

impl<W: AsyncWorkflow> Prepared<W> {
    async fn run_async(&self, parent: Option<&Arc<Run>>) -> Result<Finished<W::Returned>, Error> {
        loop {
            match self.admit(parent, Mode::Polled)? {
                Admission::Wait(wait) => wait.over(&self.engine, parent).await?,
                Admission::Ended(status, json) => return self.stored(status, json),
                Admission::Run(held, input) => {
                    // Held is declared before the body, so a dropped future drops the body first and then
                    // gives the run up.
                    let (held, input) = self.decode(held, &input)?;
                    let span = trace::run_span(W::SPEC.name, &self.id);
                    let called = Root::new(&held.run, span, W::call(input)).await;
                    return close::<W>(held, called);
                }
            }
        }
    }
}

impl<W: Workflow> Prepared<W> {
    fn admit(&self, parent: Option<&Arc<Run>>, mode: Mode) -> Result<Admission, Error> {
        let fingerprint_of = |json: &str| match decode_input(W::input(), json) {
            Ok((_, fingerprint)) => Ok(fingerprint),
            Err(source) => Err(self.undecodable(source)),
        };
        let (engine, id, input) = (&self.engine, &self.id, self.input.as_ref());
        Request { engine, id, spec: W::SPEC, input, fingerprint_of: &fingerprint_of, parent, mode }.admit()
    }

    /// The stored input is what runs, also the first time.
    fn decode(&self, held: Held, input: &str) -> Result<(Held, W::Input), Error> {
        match decode_input(W::input(), input) {
            Ok((input, _)) => Ok((held, input)),
            Err(source) => {
                let fault = self.undecodable(source);
                held.give_up(&fault);
                Err(fault)
            }
        }
    }

    /// The outcome of a run that has ended.
    fn stored(&self, status: StepStatus, json: String) -> Result<Finished<W::Returned>, Error> {
        let returned = W::codec().decode(status, &json).map_err(|source| self.undecodable(source))?;
        Ok(Finished { encoded: Encoded { status, json }, returned })
    }

    /// Takes a position in the run that asks, and looks at what is recorded there.
    fn begin(&self, scope: &Arc<Scope>) -> Result<Begun<W::Returned>, Error> {
        let mut args = ArgsSink::new();
        args.add(self.id.as_str());
        args.add(&self.input.as_ref().map(|input| input.fingerprint));
        let call = Call::begin(scope, Kind::Workflow, W::SPEC.name, W::SPEC.site, args.finish())?;
        let Some(step) = call.recorded()? else { return Ok(Begun::Fresh(call)) };
        let returned =
            W::codec().decode(step.status, &step.output).map_err(|source| call.undecodable(source))?;
        let at = step.timestamp;
        call.end(at);
        Ok(Begun::Recorded(returned))
    }

    fn undecodable(&self, source: Undecodable) -> Error {
        let WorkflowSpec { name, site, .. } = *W::SPEC;
        Error::Undecodable {
            workflow: self.id.clone(),
            step: name.to_owned(),
            site,
            source: Arc::new(source),
        }
    }
}

/// What a position of the run that asks holds.
enum Begun<R> {
    Recorded(R),
    Fresh(Call),
}

/// Records how a run ended in the run that asked for it.
fn record<R>(mut call: Call, finished: Finished<R>) -> Result<R, Error> {
    let recorded = call.record(finished.encoded, 1)?;
    call.end(recorded);
    Ok(finished.returned)
}

/// Records how the function ended, and gives the run up.
fn close<W: Workflow>(
    held: Held,
    called: Result<W::Returned, Panic>,
) -> Result<Finished<W::Returned>, Error> {
    let run = Arc::clone(&held.run);
    if let Some(fault) = run.fault() {
        held.give_up(fault);
        return Err(fault.clone());
    }
    // What the user's serde does with the result is part of the workflow: it can panic too.
    let tried = Tried { step: W::SPEC.name, attempts: 1 };
    let settled = called.and_then(|returned| {
        let settle = || settle(&W::codec(), tried, returned, run.settings.payload_bytes_max);
        catch_unwind(AssertUnwindSafe(settle))
    });
    match settled {
        Err(panic) => Err(held.give_up_panicked(&message(&*panic))),
        Ok(Err(source)) => {
            let (workflow, step, source) = (run.id.clone(), W::SPEC.name.to_owned(), Arc::new(source));
            let fault = Error::Unstorable { workflow, step, site: W::SPEC.site, source };
            held.give_up(&fault);
            Err(fault)
        }
        Ok(Ok(Settled { encoded, returned })) => {
            held.finish(match encoded.status {
                StepStatus::Completed => End::Completed(encoded.json.clone()),
                StepStatus::Failed => End::Failed(encoded.json.clone()),
            })?;
            Ok(Finished { encoded, returned })
        }
    }
}

/// Drives the body of a run, and drops it as soon as the run is stopped.
struct Root<F> {
    run: Arc<Run>,
    span: trace::Span,
    stopped: Given,
    body: Option<Pin<Box<F>>>,
}

impl<F> Root<F> {
    fn new(run: &Arc<Run>, span: trace::Span, body: F) -> Self {
        Self { run: Arc::clone(run), span, stopped: run.stopped(), body: Some(Box::pin(body)) }
    }
}

impl<F: Future> Future for Root<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { run, span, stopped, body } = &mut *self;
        let Some(future) = body else { return Poll::Pending };
        let _entering = Ambient::Entering(Arc::clone(run)).enter();
        let polled = match Pin::new(stopped).poll(cx) {
            Poll::Ready(()) => Ok(Poll::Pending),
            Poll::Pending => catch_unwind(AssertUnwindSafe(|| span.in_scope(|| future.as_mut().poll(cx)))),
        };
        if run.fault().is_some() {
            // What the user's values do when they are dropped can panic; the fault outranks it.
            run.abandon();
            drop(catch_unwind(AssertUnwindSafe(|| body.take())));
            return Poll::Ready(Err(Box::new(Stopped)));
        }
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => {
                *body = None;
                Poll::Ready(Ok(returned))
            }
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl<F> Drop for Root<F> {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.run.abandon();
        }
    }
}
