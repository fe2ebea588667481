//! One attempt of a step that is a future: each of its polls has the context and the span of the attempt, and
//! ends in what the body returned, its panic, or its timeout. Knows nothing of what is recorded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::call::Call;
use crate::clock::Pause;
use crate::error::Error;
use crate::failed::{FailureKind, StepFailed};
use crate::memo::{StepSpec, ended_or_fault, is_fault, message, panicked};
use crate::run::{Ambient, StepContext};
use crate::trace;

/// An attempt under way.
pub(super) struct Attempt {
    pub(super) call: Call,
    pub(super) number: u32,
    timeout: Option<Pause>,
    span: trace::Span,
    pub(super) within: Ambient,
    /// A fault has ended its last poll.
    by_fault: bool,
}

impl Attempt {
    pub(super) fn first(call: Call, spec: &StepSpec) -> Self {
        let (span, timeout, within) = Self::parts(&call, spec, 1);
        Self { call, number: 1, timeout, span, within, by_fault: false }
    }

    /// Begins the next attempt.
    pub(super) fn start(&mut self, spec: &StepSpec) {
        self.number += 1;
        (self.span, self.timeout, self.within) = Self::parts(&self.call, spec, self.number);
    }

    /// What each attempt has of its own.
    fn parts(call: &Call, spec: &StepSpec, number: u32) -> (trace::Span, Option<Pause>, Ambient) {
        let run = call.run();
        let span = trace::step_span(&run.id, spec.name, || call.key(), number, false);
        let timeout =
            spec.timeout_ms.map(|ms| Pause::new(Arc::clone(&run.settings.clock), Duration::from_millis(ms)));
        (span, timeout, Ambient::InStep(StepContext::new(run, call.key())))
    }

    /// Polls the body; its panic, and an attempt that takes too long, are failures.
    pub(super) fn poll<F: Future>(
        &mut self,
        body: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, StepFailed>> {
        let Some(body) = body.as_pin_mut() else {
            return Poll::Ready(Err(panicked(&self.call, self.number, "its body can run only once")));
        };
        let caught = {
            let _in_step = self.within.clone().enter();
            catch_unwind(AssertUnwindSafe(|| self.span.in_scope(|| body.poll(cx))))
        };
        self.by_fault = is_fault(&caught);
        match caught {
            Ok(Poll::Ready(returned)) => Poll::Ready(Ok(returned)),
            Err(payload) => Poll::Ready(Err(panicked(&self.call, self.number, &message(&*payload)))),
            Ok(Poll::Pending) => {
                let Some(timeout) = &mut self.timeout else { return Poll::Pending };
                ready!(Pin::new(timeout).poll(cx));
                let message =
                    format!("it took longer than its timeout (declared at {})", self.call.ticket.what.site);
                Poll::Ready(Err(StepFailed::new(
                    FailureKind::Timeout,
                    self.call.key().as_str(),
                    message,
                    self.number,
                )))
            }
        }
    }

    /// How the body ended, or the fault that stopped the run meanwhile.
    pub(super) fn ended_or_fault<T>(&self, ended: T) -> Result<T, Error> {
        ended_or_fault(&self.call, ended, self.by_fault)
    }
}
