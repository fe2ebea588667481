//! The body of a run that is polled.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::ending::{Closing, settled};
use crate::fork::Panic;
use crate::registry::Workflow;
use crate::run::{Ambient, Run, Stopped};
use crate::signal::Given;
use crate::trace;

/// Drives the body of a run, and drops it as soon as the run is stopped.
pub(super) struct Root<F> {
    run: Arc<Run>,
    span: trace::Span,
    stopped: Given,
    body: Option<Pin<Box<F>>>,
}

impl<F> Root<F> {
    pub(super) fn new(run: &Arc<Run>, span: trace::Span, body: F) -> Self {
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
            drop(catch_unwind(AssertUnwindSafe(|| drop(body.take()))));
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

impl<F: Future> Root<F> {
    /// Runs the body to its end; what it returned does not outlive the last poll.
    pub(super) async fn close<W: Workflow<Returned = F::Output>>(mut self) -> Closing {
        poll_fn(|cx| Pin::new(&mut self).poll(cx).map(|called| settled::<W>(&self.run, called).0)).await
    }
}

impl<F> Drop for Root<F> {
    fn drop(&mut self) {
        if self.body.is_some() {
            self.run.abandon();
        }
    }
}
