//! The entry points of a workflow: builders that name the id, the arguments and the engine, and run to the
//! end. Called inside a run they start a run of its own, take a position there and record its outcome.
//! Knows no rows and no SQL; the types of the user stop here.

mod background;
mod checking;
mod ending;
mod root;

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::ending::{Closing, close, settled};
use self::root::Root;
use crate::args::ArgsSink;
use crate::call::{Call, Found, Known};
use crate::engine::Engine;

use crate::entry::{Admission, Encoding, Intent, Request};
use crate::error::{Error, RunError};
use crate::held::Held;
use crate::history::Text;
use crate::key::WorkflowId;
use crate::memo::{WorkflowSpec, is_unwinding, message};
use crate::outcome::{Codec, Encoded, Undecodable, Unstorable, decode_input, encode_input};
use crate::pool::while_blocked;
use crate::registry::{AsyncWorkflow, SyncWorkflow, Workflow};
use crate::run::{Ambient, Mode, Run};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::store::Kind;
use crate::trace;

/// What an entry point returns.
pub(crate) type Outcome<W> = Result<<W as Workflow>::Value, RunError<<W as Workflow>::Error>>;

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

            /// Has a new run cancelled, with all that it has started, if it has not ended so long after it began:
            /// [`Error::Cancelled`]. A run that is there already keeps the deadline that it has, and one that is
            /// opened again after it was cancelled has none.
            pub fn deadline(mut self, after: Duration) -> Self {
                self.call.deadline = Some(after);
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

pub use self::background::StartFuture;
pub use self::background::{called, polled};

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
            Ambient::Inside(scope) if !is_unwinding(&scope) => {
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
    intent: Intent,
    id: String,
    input: Option<Result<Encoding, Unstorable>>,
    engine: Option<Engine>,
    deadline: Option<Duration>,
    workflow: PhantomData<fn() -> W>,
}

/// A call with its id checked, its engine found and its arguments encoded.
pub(crate) struct Prepared<W> {
    intent: Intent,
    pub(crate) id: WorkflowId,
    input: Option<Encoding>,
    pub(crate) engine: Engine,
    deadline: Option<Duration>,
    workflow: PhantomData<fn() -> W>,
}

/// How a run ended: as it is recorded, and as the function returned it.
pub(crate) struct Finished<R> {
    pub(crate) encoded: Encoded,
    pub(crate) returned: R,
}

impl<W: Workflow> Invocation<W> {
    fn new(id: &str, input: Option<W::Input>) -> Self {
        let encode = |input| {
            let (json, fingerprint) = encode_input(W::input(), &input, usize::MAX)?;
            Ok(Encoding { json, fingerprint })
        };
        let intent = if input.is_some() { Intent::Run } else { Intent::Resume };
        let (id, input) = (id.to_owned(), input.map(encode));
        Self { intent, id, input, engine: None, deadline: None, workflow: PhantomData }
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
        let (intent, deadline) = (self.intent, self.deadline);
        Ok(Prepared { intent, id, input, engine, deadline, workflow: PhantomData })
    }
}

impl<W: SyncWorkflow> Invocation<W> {
    /// Runs as an operation of another run, which records the outcome at its own position.
    fn run_inside(self, scope: &Arc<Scope>) -> Result<W::Returned, Error> {
        let prepared = self.prepare()?;
        match prepared.begin(scope)?.here()? {
            Known::Nothing(call) => record(call, prepared.run(Some(&scope.run))?),
            Known::Output(call, output) => Prepared::<W>::give_back(call, &output),
        }
    }
}

impl<W: SyncWorkflow> Prepared<W> {
    fn run(&self, parent: Option<&Arc<Run>>) -> Result<Finished<W::Returned>, Error> {
        loop {
            match block_on(self.admit(parent, Mode::Called))? {
                Admission::Wait(wait) => while_blocked(|| block_on(wait.over(&self.engine, parent)))?,
                Admission::Ended(status, json) => return self.stored(Encoded { status, json }),
                Admission::Left => return Err(Error::UnknownRun { workflow: self.id.clone() }),
                Admission::Run(held, input) => {
                    let (encoded, returned) = self.conduct(held, &input)?;
                    return match returned {
                        Some(returned) => Ok(Finished { encoded, returned }),
                        None => self.stored(encoded),
                    };
                }
            }
        }
    }

    /// Calls the function, and records how the run ended.
    fn conduct(&self, held: Held, input: &str) -> Result<(Encoded, Option<W::Returned>), Error> {
        let (closing, returned) = match self.decode_caught(input) {
            Ok(input) => {
                let _entering = Ambient::Entering(Arc::clone(&held.run)).enter();
                let span = trace::run_span(W::SPEC.name, &self.id);
                let called = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| W::call(input))));
                settled::<W>(&held.run, called)
            }
            Err(closing) => (closing, None),
        };
        Ok((block_on(close(held, closing))?, returned))
    }
}

async fn run_async<W: AsyncWorkflow>(call: Invocation<W>) -> Outcome<W> {
    let returned = match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope) => run_async_inside(call, scope).await,
        ambient => {
            let prepared = call.prepare()?;
            let encoded = prepared.run_async(ambient.run()).await?;
            prepared.stored(encoded)?.returned
        }
    };
    W::into_result(returned).map_err(RunError::Failed)
}

/// Runs as an operation of another run, which records the outcome at its own position. After a fault it never
/// ends.
async fn run_async_inside<W: AsyncWorkflow>(call: Invocation<W>, scope: Arc<Scope>) -> W::Returned {
    let recorded = run_recorded(call, &scope);
    scope.run.or_suspended(recorded).await
}

async fn run_recorded<W: AsyncWorkflow>(
    call: Invocation<W>,
    scope: &Arc<Scope>,
) -> Result<W::Returned, Error> {
    let prepared = call.prepare()?;
    let call = match prepared.begin(scope)?.awaited().await? {
        Known::Nothing(call) => call,
        Known::Output(call, output) => return Prepared::<W>::give_back(call, &output),
    };
    let encoded = prepared.run_async(Some(&scope.run)).await?;
    call.conclude(encoded.clone(), Mode::Polled).await?;
    Ok(prepared.stored(encoded)?.returned)
}

impl<W: AsyncWorkflow> Prepared<W> {
    /// The outcome is given as it is stored: a future that kept the value would be `Send` only if that is.
    async fn run_async(&self, parent: Option<&Arc<Run>>) -> Result<Encoded, Error> {
        loop {
            match self.admit(parent, Mode::Polled).await? {
                Admission::Wait(wait) => wait.over(&self.engine, parent).await?,
                Admission::Ended(status, json) => {
                    return Ok(self.stored(Encoded { status, json })?.encoded);
                }
                Admission::Left => return Err(Error::UnknownRun { workflow: self.id.clone() }),
                Admission::Run(held, input) => return self.conduct_async(held, input).await,
            }
        }
    }

    /// Polls the function to its end, and records how the run ended.
    async fn conduct_async(&self, held: Held, input: String) -> Result<Encoded, Error> {
        // Held is declared before the body, so a dropped future drops the body first and then gives the run up.
        let held = held;
        let body = match self.decode_caught(&input) {
            Ok(input) => Ok(Root::new(&held.run, trace::run_span(W::SPEC.name, &self.id), W::call(input))),
            Err(closing) => Err(closing),
        };
        let closing = match body {
            Ok(body) => body.close::<W>().await,
            Err(closing) => closing,
        };
        close(held, closing).await
    }
}

impl<W: Workflow> Prepared<W> {
    async fn admit(&self, parent: Option<&Arc<Run>>, mode: Mode) -> Result<Admission, Error> {
        let fingerprint_of = |json: &str| match decode_input(W::input(), json) {
            Ok((_, fingerprint)) => Ok(fingerprint),
            Err(source) => Err(self.undecodable(source)),
        };
        let Self { engine, id, intent, deadline, .. } = self;
        let (spec, input, intent, deadline) = (W::SPEC, self.input.as_ref(), *intent, *deadline);
        let fingerprint_of = &fingerprint_of;
        Request { engine, id, spec, input, fingerprint_of, parent, mode, intent, deadline }.admit().await
    }

    /// The stored input is what runs, also the first time.
    fn decode(&self, input: &str) -> Result<W::Input, Error> {
        decode_input(W::input(), input).map(|(input, _)| input).map_err(|source| self.undecodable(source))
    }

    /// The same; the user's `Deserialize` is part of the workflow, and can panic.
    fn decode_caught(&self, input: &str) -> Result<W::Input, Closing> {
        match catch_unwind(AssertUnwindSafe(|| self.decode(input))) {
            Ok(decoded) => decoded.map_err(Closing::Fault),
            Err(panic) => Err(Closing::Panicked(message(&*panic))),
        }
    }

    /// The outcome of a run that has ended.
    pub(crate) fn stored(&self, encoded: Encoded) -> Result<Finished<W::Returned>, Error> {
        let returned = W::codec().decode(encoded.status, &encoded.json);
        let returned = returned.map_err(|source| self.undecodable(source))?;
        Ok(Finished { encoded, returned })
    }

    /// Takes a position in the run that asks, and looks at what is recorded there.
    pub(crate) fn begin(&self, scope: &Arc<Scope>) -> Result<Found, Error> {
        let mut args = ArgsSink::new();
        args.add(self.id.as_str());
        args.add(&self.input.as_ref().map(|input| input.fingerprint));
        Call::begin(scope, Kind::Workflow, W::SPEC.name, W::SPEC.site, args.finish())?.look()
    }

    /// What is recorded there, which ends the operation.
    pub(crate) fn give_back(call: Call, output: &Text) -> Result<W::Returned, Error> {
        let step = call.run().history.step_of(output);
        let (status, at) = (step.status(), step.timestamp());
        let returned = W::codec().decode(status, output.as_str());
        let returned = returned.map_err(|source| call.undecodable(source))?;
        call.end(at);
        Ok(returned)
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

/// Records how a run ended in the run that asked for it.
pub(crate) fn record<R>(mut call: Call, finished: Finished<R>) -> Result<R, Error> {
    let recorded = call.record(finished.encoded, 1)?;
    call.end(recorded);
    Ok(finished.returned)
}
