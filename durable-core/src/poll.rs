//! Steps that are futures, and in `workflow` workflows that are: one hand-written future each, which pins the
//! body in place. Each poll sets the context and restores it, so no executor, task or thread ever sees
//! another run's. A fault leaves the operation pending; the entry point drops the whole body after that poll.
//! Knows no executor.

mod attempt;
mod workflow;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::args::Args;
use crate::call::{Call, Found, Known, Reading, Recording};
use crate::clock::Pause;
use crate::error::Error;
use crate::failed::StepFailed;
use crate::history::Text;
use crate::memo::{
    Conclusion, Place, StepSpec, fault_or, message, panicked, place, recorded, refused, replayed, submit,
    wait_before_retry,
};
use crate::outcome::Codec;
use crate::run::{Ambient, Run};
use crate::runtime;
use crate::signal::Given;
use crate::store::Kind;

use self::attempt::Attempt;
pub use workflow::workflow_async;

/// Calls an async step: its recorded outcome, or its body.
pub fn step_async<C: Codec, F: Future<Output = C::Returned>>(
    spec: &'static StepSpec,
    codec: C,
    args: Args,
    body: F,
) -> impl Future<Output = C::Returned> {
    StepFuture {
        spec,
        codec,
        args: Some(args),
        retry_if: |_: &C::Returned| false,
        make: || None,
        stage: Stage::New,
        body: Some(body),
    }
}

/// Calls an async step whose body may run more than once: `make` gives a new one for each attempt.
pub fn step_async_retried<C: Codec, F: Future<Output = C::Returned>>(
    spec: &'static StepSpec,
    codec: C,
    args: Args,
    retry_if: impl Fn(&C::Returned) -> bool,
    mut make: impl FnMut() -> F,
) -> impl Future<Output = C::Returned> {
    StepFuture {
        spec,
        codec,
        args: Some(args),
        retry_if,
        make: move || Some(make()),
        stage: Stage::New,
        body: None,
    }
}

pin_project! {
    struct StepFuture<C, P, M, F> {
        spec: &'static StepSpec,
        codec: C,
        args: Option<Args>,
        retry_if: P,
        make: M,
        stage: Stage,
        #[pin]
        body: Option<F>,
    }

    impl<C, P, M, F> PinnedDrop for StepFuture<C, P, M, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(call) = this.stage.call_mut() {
                call.ticket.drop_in_flight();
            }
            // What the body's locals do when they are dropped is part of the step, not of the workflow.
            let _in_step = this.stage.within().map(Ambient::enter);
            this.body.set(None);
        }
    }
}

enum Stage {
    New,
    Plain(Option<Ambient>),
    Reading(Box<Reading>),
    /// It is being recorded that it begins.
    Beginning(Box<Recording>),
    Attempt(Box<Attempt>),
    Waiting(Box<Attempt>, Box<Rest>),
    Recording(Box<Recording>),
    Stopped(Arc<Run>),
    Done,
}

/// The time between two attempts, which ends early when the run is stopped.
struct Rest {
    pause: Pause,
    stopped: Given,
}

impl Stage {
    fn call_mut(&mut self) -> Option<&mut Call> {
        match self {
            Self::Attempt(attempt) | Self::Waiting(attempt, _) => Some(&mut attempt.call),
            Self::Reading(reading) => Some(&mut reading.call),
            Self::Beginning(recording) | Self::Recording(recording) => Some(&mut recording.call),
            Self::New | Self::Plain(_) | Self::Stopped(_) | Self::Done => None,
        }
    }

    /// What the body is polled and dropped in.
    fn within(&self) -> Option<Ambient> {
        match self {
            Self::Attempt(attempt) | Self::Waiting(attempt, _) => Some(attempt.within.clone()),
            Self::Plain(within) => within.clone(),
            Self::New
            | Self::Reading(_)
            | Self::Beginning(_)
            | Self::Recording(_)
            | Self::Stopped(_)
            | Self::Done => None,
        }
    }
}

impl<C, P, M, F> Future for StepFuture<C, P, M, F>
where
    C: Codec,
    P: Fn(&C::Returned) -> bool,
    M: FnMut() -> Option<F>,
    F: Future<Output = C::Returned>,
{
    type Output = C::Returned;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Returned> {
        let ended = loop {
            let this = self.as_mut().project();
            match std::mem::replace(this.stage, Stage::Done) {
                Stage::New => match self.as_mut().begin() {
                    None => {}
                    Some(ended) => break ended,
                },
                Stage::Plain(within) => {
                    *this.stage = Stage::Plain(within.clone());
                    let _within = within.map(Ambient::enter);
                    return this.body.as_pin_mut().map_or(Poll::Pending, |body| body.poll(cx));
                }
                Stage::Attempt(attempt) => match self.as_mut().attempt(attempt, cx) {
                    Poll::Ready(Some(ended)) => break ended,
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Waiting(attempt, rest) => match self.as_mut().waiting(attempt, rest, cx) {
                    Poll::Ready(Some(ended)) => break ended,
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Reading(mut reading) => match reading.poll(cx) {
                    Poll::Pending => {
                        *this.stage = Stage::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(output) => {
                        break Ended::replayed(reading.call, *this.codec, output);
                    }
                },
                Stage::Beginning(recording) => match self.as_mut().beginning(recording, cx) {
                    Poll::Ready(Some(ended)) => break ended,
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Stage::Recording(mut recording) => match recording.poll(cx) {
                    Poll::Pending => {
                        *this.stage = Stage::Recording(recording);
                        return Poll::Pending;
                    }
                    Poll::Ready(done) => {
                        let run = Arc::clone(recording.call.run());
                        break match done.and_then(|()| recorded(*recording, *this.codec)) {
                            Ok(conclusion) => Ended::Concluded(conclusion, true),
                            Err(fault) => Ended::Fault(run, fault),
                        };
                    }
                },
                Stage::Stopped(run) => {
                    *this.stage = Stage::Stopped(Arc::clone(&run));
                    return run.suspend_again(cx);
                }
                Stage::Done => return Poll::Pending,
            }
        };
        match ended {
            Ended::Returned(returned) => Poll::Ready(returned),
            Ended::Concluded(conclusion, live) => Poll::Ready(conclusion.unfold(live)),
            Ended::Fault(run, fault) => {
                *self.project().stage = Stage::Stopped(Arc::clone(&run));
                run.suspend(cx, fault)
            }
        }
    }
}

/// How the future ends.
enum Ended<R> {
    Returned(R),
    Concluded(Conclusion<R>, bool),
    Fault(Arc<Run>, Error),
}

impl<R> Ended<R> {
    /// By what is recorded for `call`.
    fn replayed<C: Codec<Returned = R>>(call: Call, codec: C, output: Result<Text, Error>) -> Self {
        let run = Arc::clone(call.run());
        match output.and_then(|output| replayed(call, codec, &output)) {
            Ok(conclusion) => Self::Concluded(conclusion, false),
            Err(fault) => Self::Fault(run, fault),
        }
    }
}

impl<C, P, M, F> StepFuture<C, P, M, F>
where
    C: Codec,
    P: Fn(&C::Returned) -> bool,
    M: FnMut() -> Option<F>,
    F: Future<Output = C::Returned>,
{
    /// The first poll: takes the position, and looks at what is recorded there.
    fn begin(self: Pin<&mut Self>) -> Option<Ended<C::Returned>> {
        let mut this = self.project();
        let scope = match place(this.spec) {
            Place::Scope(scope) => scope,
            Place::Refused(failed) => return Some(Ended::Returned(refused(*this.codec, failed))),
            Place::Plain(within) => {
                if this.body.is_none() {
                    let _within = within.clone().map(Ambient::enter);
                    this.body.set((this.make)());
                }
                *this.stage = Stage::Plain(within);
                return None;
            }
        };
        let args = this.args.take().unwrap_or_default();
        let StepSpec { kind, name, site, .. } = *this.spec;
        match Call::begin(&scope, *kind, name, *site, args).and_then(Call::look) {
            Ok(Found::Known(Known::Output(call, output))) => {
                Some(Ended::replayed(call, *this.codec, Ok(output)))
            }
            Ok(Found::Unread(unread)) => {
                *this.stage = Stage::Reading(Box::new(unread.read()));
                None
            }
            Ok(Found::Known(Known::Nothing(call))) if *kind == Kind::Once => match call.submit_begin() {
                Ok(recording) => {
                    *this.stage = Stage::Beginning(Box::new(recording));
                    None
                }
                Err(fault) => Some(Ended::Fault(Arc::clone(&scope.run), fault)),
            },
            Ok(Found::Known(Known::Nothing(call))) => {
                *this.stage = Stage::Attempt(Box::new(Attempt::first(call, this.spec)));
                None
            }
            Err(fault) => Some(Ended::Fault(Arc::clone(&scope.run), fault)),
        }
    }

    /// Waits until it is recorded that the step begins. `None`: it has begun.
    fn beginning(
        self: Pin<&mut Self>,
        mut recording: Box<Recording>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Ended<C::Returned>>> {
        let (this, run) = (self.project(), Arc::clone(recording.call.run()));
        let Poll::Ready(begun) = recording.poll(cx) else {
            *this.stage = Stage::Beginning(recording);
            return Poll::Pending;
        };
        if let Err(fault) = begun.and_then(|()| fault_or(&run, ())) {
            return Poll::Ready(Some(Ended::Fault(run, fault)));
        }
        *this.stage = Stage::Attempt(Box::new(Attempt::first(recording.call, this.spec)));
        Poll::Ready(None)
    }

    /// Waits between two attempts. `None`: the next one has begun.
    fn waiting(
        self: Pin<&mut Self>,
        mut attempt: Box<Attempt>,
        mut rest: Box<Rest>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Ended<C::Returned>>> {
        let (this, run) = (self.project(), attempt.call.run());
        let is_stopped = Pin::new(&mut rest.stopped).poll(cx).is_ready();
        if is_stopped && let Err(fault) = fault_or(run, ()) {
            return Poll::Ready(Some(Ended::Fault(Arc::clone(run), fault)));
        }
        if Pin::new(&mut rest.pause).poll(cx).is_pending() {
            *this.stage = Stage::Waiting(attempt, rest);
            return Poll::Pending;
        }
        attempt.start(this.spec);
        *this.stage = Stage::Attempt(attempt);
        Poll::Ready(None)
    }

    /// Polls the body once. `None`: there is to be another attempt.
    fn attempt(
        mut self: Pin<&mut Self>,
        mut attempt: Box<Attempt>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Ended<C::Returned>>> {
        let run = Arc::clone(attempt.call.run());
        let polled = match attempt.call.ticket.check_here() {
            Ok(()) => self.as_mut().poll_body(&mut attempt, cx).map(|ended| attempt.ended_or_fault(ended)),
            Err(fault) => Poll::Ready(Err(fault)),
        };
        match polled {
            Poll::Ready(Ok(ended)) => Poll::Ready(self.settle(attempt, ended)),
            Poll::Ready(Err(fault)) => {
                let _in_step = attempt.within.clone().enter();
                self.project().body.set(None);
                Poll::Ready(Some(Ended::Fault(run, fault)))
            }
            Poll::Pending => {
                *self.project().stage = Stage::Attempt(attempt);
                Poll::Pending
            }
        }
    }

    /// Polls the body, which is made where this is its first poll and dropped where it was its last.
    fn poll_body(
        self: Pin<&mut Self>,
        attempt: &mut Attempt,
        cx: &mut Context<'_>,
    ) -> Poll<Result<C::Returned, StepFailed>> {
        let mut this = self.project();
        if this.body.is_none() {
            let _in_step = attempt.within.clone().enter();
            match catch_unwind(AssertUnwindSafe(|| (this.make)())) {
                Ok(body) => this.body.set(body),
                Err(payload) => {
                    return Poll::Ready(Err(panicked(&attempt.call, attempt.number, &message(&*payload))));
                }
            }
        }
        let mut polled = attempt.poll(this.body.as_mut(), cx);
        if polled.is_ready() {
            let _in_step = attempt.within.clone().enter();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
                polled = Poll::Ready(Err(panicked(&attempt.call, attempt.number, &message(&*payload))));
            }
        }
        polled
    }

    /// An attempt has ended: waits for the next one, or begins to record how the step ended.
    fn settle(
        self: Pin<&mut Self>,
        attempt: Box<Attempt>,
        mut ended: Result<C::Returned, StepFailed>,
    ) -> Option<Ended<C::Returned>> {
        let this = self.project();
        let run = Arc::clone(attempt.call.run());
        let failed = ended.as_ref().map_or(true, |returned| this.codec.is_failure(returned));
        // A runtime that shuts down drops what the body may have waited for, which is no failure of the step.
        if failed && runtime::is_shutting_down() {
            let workflow = run.id.clone();
            return Some(Ended::Fault(run, Error::RuntimeShutDown { workflow }));
        }
        let wait = wait_before_retry(
            &attempt.call,
            this.spec,
            *this.codec,
            this.retry_if,
            &mut ended,
            attempt.number,
        );
        if let Some(wait) = wait {
            let pause = Pause::new(Arc::clone(&run.settings.clock), wait);
            *this.stage = Stage::Waiting(attempt, Box::new(Rest { pause, stopped: run.stopped() }));
            return None;
        }
        let Attempt { call, number, .. } = *attempt;
        match submit(call, *this.codec, ended, number) {
            Ok(recording) => {
                *this.stage = Stage::Recording(Box::new(recording));
                None
            }
            Err(fault) => Some(Ended::Fault(run, fault)),
        }
    }
}
