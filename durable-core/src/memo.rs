//! The replay decision: at a position, give back what was recorded, or run the body and record what it
//! returns. Nothing else in the crate calls the body of a step, so "at most one recorded result per position"
//! is proved here and, for futures, in `poll`.
//! Knows no SQL and no JSON.

mod place;
mod spec;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::args::Args;
use crate::call::{Call, Known, Recording};
use crate::clock::Pause;
use crate::error::Error;
use crate::failed::{FailureKind, StepFailed};
use crate::history::Text;
use crate::outcome::{Codec, Settled, Tried, Undecodable, settle, settle_failed};
use crate::run::{Ambient, Run, StepContext, Stopped};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::store::{Kind, StepStatus};
use crate::{draw, trace};

use self::place::plain;
pub(crate) use self::place::{Place, is_unwinding, place, refused};
pub use spec::{StepSpec, WorkflowSpec};

/// Calls a step: its recorded outcome, or its body.
pub fn step<C: Codec>(
    spec: &'static StepSpec,
    codec: C,
    args: Args,
    body: impl FnOnce() -> C::Returned,
) -> C::Returned {
    match place(spec) {
        Place::Plain(within) => plain(within, body),
        Place::Refused(failed) => refused(codec, failed),
        Place::Scope(scope) => {
            let mut body = Some(body);
            // A step without retries is attempted once, so the body is there.
            let mut attempt = || body.take().map(|body| body());
            memoized(&scope, spec, codec, args, &|_| false, &mut attempt)
        }
    }
}

/// Calls a step whose body may run more than once: after a failure that `retry_if` accepts, or a panic.
pub fn step_retried<C: Codec>(
    spec: &'static StepSpec,
    codec: C,
    args: Args,
    retry_if: impl Fn(&C::Returned) -> bool,
    mut body: impl FnMut() -> C::Returned,
) -> C::Returned {
    match place(spec) {
        Place::Plain(within) => plain(within, body),
        Place::Refused(failed) => refused(codec, failed),
        Place::Scope(scope) => memoized(&scope, spec, codec, args, &retry_if, &mut || Some(body())),
    }
}

/// Calls a workflow function: as the body of the run that the engine is entering, as an inline child of the
/// current one, or plainly.
pub fn workflow<C: Codec>(
    spec: &'static WorkflowSpec,
    codec: C,
    args: Args,
    body: impl FnOnce() -> C::Returned,
) -> C::Returned {
    match Ambient::current() {
        Ambient::Entering(run) => {
            let scope = Scope::root(run);
            let returned = {
                let _inside = Ambient::Inside(Arc::clone(&scope)).enter();
                body()
            };
            scope.check_ended(&spec.what()).unwrap_or_else(|fault| scope.run.unwind(fault));
            returned
        }
        Ambient::Inside(scope) if !is_unwinding(&scope) => match child(&scope, spec, codec, args, body) {
            Ok(conclusion) => conclusion.unfold(true),
            Err(fault) => scope.run.unwind(fault),
        },
        _ => body(),
    }
}

fn memoized<C: Codec>(
    scope: &Arc<Scope>,
    spec: &'static StepSpec,
    codec: C,
    args: Args,
    retry_if: &dyn Fn(&C::Returned) -> bool,
    body: &mut dyn FnMut() -> Option<C::Returned>,
) -> C::Returned {
    let replayed_or_run = || {
        let call = Call::begin(scope, spec.kind, spec.name, spec.site, args)?;
        let mut call = match replay(call, codec)? {
            Replayed::Fresh(call) => call,
            Replayed::Recorded(conclusion) => return Ok(conclusion.unfold(false)),
        };
        if spec.kind == Kind::Once {
            call.begin_once()?;
        }
        let (ended, attempts) = attempt_all(&call, spec, codec, retry_if, body)?;
        let conclusion = conclude(call, codec, ended, attempts)?;
        fault_or(&scope.run, ())?;
        Ok(conclusion.unfold(true))
    };
    replayed_or_run().unwrap_or_else(|fault| scope.run.unwind(fault))
}

/// Runs the body until it succeeds, its retries are used up, or its failure is not to be retried.
fn attempt_all<C: Codec>(
    call: &Call,
    spec: &StepSpec,
    codec: C,
    retry_if: &dyn Fn(&C::Returned) -> bool,
    body: &mut dyn FnMut() -> Option<C::Returned>,
) -> Result<(Result<C::Returned, StepFailed>, u32), Error> {
    let mut attempts = 0;
    loop {
        fault_or(call.run(), ())?;
        attempts += 1;
        let mut ended = attempt(call, attempts, body)?;
        match wait_before_retry(call, spec, codec, retry_if, &mut ended, attempts) {
            Some(wait) => {
                let pause = Pause::new(Arc::clone(&call.run().settings.clock), wait);
                block_on(call.run().unless_left(pause))?;
            }
            None => return Ok((ended, attempts)),
        }
    }
}

/// How long to wait before the next attempt, if there is to be one. A panic of `retry_if` is the step's
/// failure.
pub(crate) fn wait_before_retry<C: Codec>(
    call: &Call,
    spec: &StepSpec,
    codec: C,
    retry_if: &dyn Fn(&C::Returned) -> bool,
    ended: &mut Result<C::Returned, StepFailed>,
    attempts: u32,
) -> Option<Duration> {
    let again = match ended {
        Ok(returned) => {
            let asked = catch_unwind(AssertUnwindSafe(|| codec.is_failure(returned) && retry_if(returned)));
            asked.unwrap_or_else(|payload| {
                *ended = Err(panicked(call, attempts, &message(&*payload)));
                false
            })
        }
        Err(_) => true,
    };
    (again && attempts <= spec.retry.retries).then(|| {
        let jitter = draw::jitter(call.run().seed, &call.ticket.position, attempts);
        spec.retry.delay(attempts, jitter)
    })
}

/// Runs the body once. A panic is its failure; a fault passes on.
fn attempt<R>(
    call: &Call,
    attempt: u32,
    body: &mut dyn FnMut() -> Option<R>,
) -> Result<Result<R, StepFailed>, Error> {
    let caught = {
        let _in_step = Ambient::InStep(StepContext::new(call.run(), call.key())).enter();
        let span = trace::step_span(&call.run().id, call.ticket.what.name, || call.key(), attempt, false);
        catch_unwind(AssertUnwindSafe(|| span.in_scope(body)))
    };
    let by_fault = is_fault(&caught);
    let ended = match caught {
        Ok(Some(returned)) => Ok(returned),
        Ok(None) => Err(panicked(call, attempt, "its body can run only once")),
        Err(payload) => Err(panicked(call, attempt, &message(&*payload))),
    };
    ended_or_fault(call, ended, by_fault)
}

/// Whether it was a fault that ended the call of a body.
pub(crate) fn is_fault<T>(caught: &Result<T, Box<dyn Any + Send>>) -> bool {
    caught.as_ref().is_err_and(|payload| payload.is::<Stopped>())
}

/// How a body ended. A run that was stopped meanwhile records nothing more, but for what had begun and is not to
/// run again: that has happened.
pub(crate) fn ended_or_fault<T>(call: &Call, ended: T, by_fault: bool) -> Result<T, Error> {
    if call.is_begun() && !by_fault { Ok(ended) } else { fault_or(call.run(), ended) }
}

/// A run that was stopped meanwhile records nothing more.
pub(crate) fn fault_or<T>(run: &Run, value: T) -> Result<T, Error> {
    run.fault().map_or(Ok(value), |fault| Err(fault.clone()))
}

pub(crate) fn panicked(call: &Call, attempts: u32, message: &str) -> StepFailed {
    let message = format!("{message} (in the step declared at {})", call.ticket.what.site);
    StepFailed::new(FailureKind::Panic, call.key().as_str(), message, attempts)
}

/// The message of a panic, as `std` would print it.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "Box<dyn Any>".to_owned())
}

/// Runs a workflow function as an inline child: its steps stand below its position, and once its result is
/// recorded there it is given back as a whole. A panic passes through it unrecorded.
fn child<C: Codec>(
    scope: &Arc<Scope>,
    spec: &WorkflowSpec,
    codec: C,
    args: Args,
    body: impl FnOnce() -> C::Returned,
) -> Result<Conclusion<C::Returned>, Error> {
    let call = Call::begin(scope, Kind::Child, spec.name, spec.site, args)?;
    let call = match replay(call, codec)? {
        Replayed::Fresh(call) => call,
        Replayed::Recorded(conclusion) => return Ok(conclusion),
    };
    let inner = call.ticket.branch(0);
    let returned = {
        let _inside = Ambient::Inside(Arc::clone(&inner)).enter();
        body()
    };
    fault_or(&scope.run, ())?;
    inner.check_ended(&call.ticket.what)?;
    conclude(call, codec, Ok(returned), 1)
}

/// How an operation ends for its caller.
pub(crate) enum Conclusion<R> {
    Returned(R),
    /// A recorded panic that the type cannot hold as an error: the caller panics with its message.
    Panics(StepFailed),
}

impl<R> Conclusion<R> {
    /// The value, or the panic that the step ended in: live and on replay the caller sees the same. Where
    /// that panic has just happened (`live`), the panic hook has spoken.
    #[expect(
        clippy::panic,
        reason = "the user's own panic, given back where its type has no room for an error"
    )]
    pub(crate) fn unfold(self, live: bool) -> R {
        match self {
            Self::Returned(returned) => returned,
            Self::Panics(failed) if live => resume_unwind(Box::new(failed.to_string())),
            Self::Panics(failed) => panic_any(failed.to_string()),
        }
    }
}

/// What a replay comes to.
enum Replayed<R> {
    /// Nothing is recorded: the body is to run.
    Fresh(Call),
    Recorded(Conclusion<R>),
}

/// Gives back what is recorded at the position of `call`, and ends it; where nothing is, gives it back.
fn replay<C: Codec>(call: Call, codec: C) -> Result<Replayed<C::Returned>, Error> {
    match call.look()?.here()? {
        Known::Nothing(call) => Ok(Replayed::Fresh(call)),
        Known::Output(call, output) => replayed(call, codec, &output).map(Replayed::Recorded),
    }
}

/// What was recorded for `call`, as its caller gets it; that ends the call.
pub(crate) fn replayed<C: Codec>(
    call: Call,
    codec: C,
    output: &Text,
) -> Result<Conclusion<C::Returned>, Error> {
    let step = call.run().history.step_of(output);
    let span = trace::step_span(&call.run().id, step.name(), || call.key(), step.attempts(), true);
    let conclusion = span.in_scope(|| decode(&call, codec, step.status(), output.as_str()))?;
    if step.kind() == Kind::Once {
        panics_for_good(&call, &conclusion);
    }
    let at = step.timestamp();
    call.end(at);
    Ok(conclusion)
}

/// Records how the body ended; what the caller gets is what was decoded from the record.
pub(crate) fn conclude<C: Codec>(
    mut call: Call,
    codec: C,
    ended: Result<C::Returned, StepFailed>,
    attempts: u32,
) -> Result<Conclusion<C::Returned>, Error> {
    let Settled { encoded, returned } = settle_call(&call, codec, ended, attempts)?;
    let recorded = call.record(encoded, attempts)?;
    let conclusion = match returned {
        Ok(returned) => Conclusion::Returned(returned),
        Err(failed) => Conclusion::Panics(failed),
    };
    if call.is_begun() {
        panics_for_good(&call, &conclusion);
    }
    call.end(recorded);
    Ok(conclusion)
}

/// A step that runs at most once panics in every execution, if it does in one.
fn panics_for_good<R>(call: &Call, conclusion: &Conclusion<R>) {
    if let Conclusion::Panics(failed) = conclusion {
        call.run().panics_for_good(failed);
    }
}

/// Hands over to be recorded how the body ended; [`recorded`] is what the caller gets.
pub(crate) fn submit<C: Codec>(
    call: Call,
    codec: C,
    ended: Result<C::Returned, StepFailed>,
    attempts: u32,
) -> Result<Recording, Error> {
    // What came back is dropped and read again: a future that kept it would be `Send` only if it is.
    let encoded = settle_call(&call, codec, ended, attempts)?.encoded;
    call.submit(encoded, attempts)
}

/// What is recorded now, as the caller gets it.
pub(crate) fn recorded<C: Codec>(recording: Recording, codec: C) -> Result<Conclusion<C::Returned>, Error> {
    let Recording { call, outcome, at, .. } = recording;
    let conclusion = decode(&call, codec, outcome.status, &outcome.json)?;
    if call.is_begun() {
        panics_for_good(&call, &conclusion);
    }
    call.end(at);
    Ok(conclusion)
}

/// What is stored, as the caller gets it.
fn decode<C: Codec>(
    call: &Call,
    codec: C,
    status: StepStatus,
    json: &str,
) -> Result<Conclusion<C::Returned>, Error> {
    match codec.decode(status, json) {
        Ok(returned) => Ok(Conclusion::Returned(returned)),
        Err(Undecodable::Failed(failed)) => Ok(Conclusion::Panics(failed)),
        Err(undecodable) => Err(call.undecodable(undecodable)),
    }
}

/// How the body ended, as it is stored and as a replay gives it back.
fn settle_call<C: Codec>(
    call: &Call,
    codec: C,
    ended: Result<C::Returned, StepFailed>,
    attempts: u32,
) -> Result<Settled<Result<C::Returned, StepFailed>>, Error> {
    let bytes_max = call.run().settings.payload_bytes_max;
    let tried = Tried { step: call.key().as_str(), attempts };
    // What the user's serde does with the result is part of the step: it can panic too.
    let settled = ended.and_then(|returned| {
        let settle = || settle(&codec, tried, returned, bytes_max);
        catch_unwind(AssertUnwindSafe(settle))
            .map_err(|payload| panicked(call, attempts, &message(&*payload)))
    });
    let settled = match settled {
        Ok(settled) => {
            settled.map(|Settled { encoded, returned }| Settled { encoded, returned: Ok(returned) })
        }
        Err(failed) => settle_failed(&codec, failed, bytes_max),
    };
    settled.map_err(|unstorable| call.unstorable(unstorable))
}
