//! Workflows that are futures: the body of the run that the engine enters, an inline child, or a plain call.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Ended;
use crate::args::Args;
use crate::call::{Call, Found, Known, Reading, Recording};
use crate::error::Error;
use crate::history::Text;
use crate::memo::{WorkflowSpec, fault_or, is_unwinding, recorded, submit};
use crate::outcome::Codec;
use crate::run::{Ambient, Run};
use crate::scope::Scope;
use crate::store::Kind;

/// Calls an async workflow function: as the body of the run that the engine is entering, as an inline child
/// of the current one, or plainly.
pub fn workflow_async<C: Codec, F: Future<Output = C::Returned>>(
    spec: &'static WorkflowSpec,
    codec: C,
    args: Args,
    body: F,
) -> impl Future<Output = C::Returned> {
    WorkflowFuture { spec, codec, args: Some(args), stage: Body::New, body: Some(body) }
}

pin_project! {
    struct WorkflowFuture<C, F> {
        spec: &'static WorkflowSpec,
        codec: C,
        args: Option<Args>,
        stage: Body,
        #[pin]
        body: Option<F>,
    }

    impl<C, F> PinnedDrop for WorkflowFuture<C, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _inside = this.stage.scope().map(|scope| Ambient::Inside(scope).enter());
            this.body.set(None);
        }
    }
}

enum Body {
    New,
    Plain,
    Root(Arc<Scope>),
    Reading(Box<Reading>),
    Child(Box<Call>, Arc<Scope>),
    Recording(Box<Recording>),
    Stopped(Arc<Run>),
    Done,
}

impl Body {
    fn scope(&self) -> Option<Arc<Scope>> {
        match self {
            Self::Root(scope) | Self::Child(_, scope) => Some(Arc::clone(scope)),
            Self::New
            | Self::Plain
            | Self::Reading(_)
            | Self::Recording(_)
            | Self::Stopped(_)
            | Self::Done => None,
        }
    }
}

impl<C: Codec, F: Future<Output = C::Returned>> Future for WorkflowFuture<C, F> {
    type Output = C::Returned;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Returned> {
        if matches!(self.stage, Body::New)
            && let Some(ended) = self.as_mut().begin()
        {
            return self.end(cx, ended);
        }
        if let Body::Stopped(run) = &self.stage {
            return run.suspend_again(cx);
        }
        if let Body::Reading(reading) = self.as_mut().project().stage {
            let output = ready!(reading.poll(cx));
            return self.end_replayed(cx, output);
        }
        if matches!(self.stage, Body::Recording(_)) {
            return self.poll_recording(cx);
        }
        if let Body::Child(call, _) = &self.stage
            && let Err(fault) = call.ticket.check_here()
        {
            return Arc::clone(call.run()).suspend(cx, fault);
        }
        let mut this = self.as_mut().project();
        let returned = {
            let _inside = this.stage.scope().map(|scope| Ambient::Inside(scope).enter());
            let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Pending };
            let polled = catch_unwind(AssertUnwindSafe(|| body.poll(cx)));
            let returned = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(returned)) => Ok(returned),
                Err(panic) => Err(panic),
            };
            this.body.set(None);
            returned
        };
        match (std::mem::replace(this.stage, Body::Done), returned) {
            (Body::Child(call, inner), Ok(returned)) => {
                let run = Arc::clone(call.run());
                let submitted = fault_or(&run, ())
                    .and_then(|()| inner.check_ended(&call.ticket.what))
                    .and_then(|()| submit(*call, *this.codec, Ok(returned), 1));
                match submitted {
                    Ok(recording) => {
                        *this.stage = Body::Recording(Box::new(recording));
                        self.poll_recording(cx)
                    }
                    Err(fault) => self.end(cx, Ended::Fault(run, fault)),
                }
            }
            (Body::Child(call, inner), Err(panic)) => {
                // A panic passes every operation in the order of the program, so it ends this one.
                call.end(inner.last());
                resume_unwind(panic)
            }
            (Body::Root(scope), Ok(returned)) => {
                let ended = match scope.check_ended(&this.spec.what()) {
                    Ok(()) => Ended::Returned(returned),
                    Err(fault) => Ended::Fault(Arc::clone(&scope.run), fault),
                };
                self.end(cx, ended)
            }
            (_, returned) => Poll::Ready(returned.unwrap_or_else(|panic| resume_unwind(panic))),
        }
    }
}

impl<C: Codec, F: Future<Output = C::Returned>> WorkflowFuture<C, F> {
    /// Waits until the child's result is recorded.
    fn poll_recording(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Returned> {
        let this = self.as_mut().project();
        let Body::Recording(mut recording) = std::mem::replace(this.stage, Body::Done) else {
            return Poll::Pending;
        };
        let Poll::Ready(done) = recording.poll(cx) else {
            *this.stage = Body::Recording(recording);
            return Poll::Pending;
        };
        let run = Arc::clone(recording.call.run());
        let ended = match done.and_then(|()| recorded(*recording, *this.codec)) {
            Ok(conclusion) => Ended::Concluded(conclusion, true),
            Err(fault) => Ended::Fault(run, fault),
        };
        self.end(cx, ended)
    }

    /// Gives back the child's recorded result.
    fn end_replayed(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        output: Result<Text, Error>,
    ) -> Poll<C::Returned> {
        let this = self.as_mut().project();
        let Body::Reading(reading) = std::mem::replace(this.stage, Body::Done) else {
            return Poll::Pending;
        };
        let ended = Ended::replayed(reading.call, *this.codec, output);
        self.end(cx, ended)
    }

    /// What the poll returns, or the panic or fault that it ends in.
    fn end(self: Pin<&mut Self>, cx: &mut Context<'_>, ended: Ended<C::Returned>) -> Poll<C::Returned> {
        match ended {
            Ended::Returned(returned) => Poll::Ready(returned),
            Ended::Concluded(conclusion, live) => Poll::Ready(conclusion.unfold(live)),
            Ended::Fault(run, fault) => {
                *self.project().stage = Body::Stopped(Arc::clone(&run));
                run.suspend(cx, fault)
            }
        }
    }

    /// The first poll: as the body of a run, as a child, or plainly.
    fn begin(self: Pin<&mut Self>) -> Option<Ended<C::Returned>> {
        let this = self.project();
        match Ambient::current() {
            Ambient::Entering(run) => *this.stage = Body::Root(Scope::root(run)),
            Ambient::Inside(scope) if !is_unwinding(&scope) => {
                let args = this.args.take().unwrap_or_default();
                let WorkflowSpec { name, site, .. } = **this.spec;
                match Call::begin(&scope, Kind::Child, name, site, args).and_then(Call::look) {
                    Ok(Found::Known(Known::Output(call, output))) => {
                        return Some(Ended::replayed(call, *this.codec, Ok(output)));
                    }
                    Ok(Found::Unread(unread)) => *this.stage = Body::Reading(Box::new(unread.read())),
                    Ok(Found::Known(Known::Nothing(call))) => {
                        let inner = call.ticket.branch(0);
                        *this.stage = Body::Child(Box::new(call), inner);
                    }
                    Err(fault) => return Some(Ended::Fault(Arc::clone(&scope.run), fault)),
                }
            }
            _ => *this.stage = Body::Plain,
        }
        None
    }
}
