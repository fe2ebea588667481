//! Spans and events for whatever subscriber the program has: one span per run, one per attempt or replay of
//! a step. The only room that knows `tracing`; without the feature it does nothing. Prints nothing.

#[cfg(feature = "tracing")]
pub(crate) use on::*;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;

#[cfg(feature = "tracing")]
mod on {
    use crate::key::{StepKey, WorkflowId};

    pub(crate) use tracing::Span;

    pub(crate) fn run_span(name: &str, id: &WorkflowId) -> Span {
        tracing::info_span!("workflow", workflow = name, id = id.as_str())
    }

    /// `key` is asked for where somebody listens.
    pub(crate) fn step_span<'k>(
        id: &WorkflowId,
        name: &str,
        key: impl Fn() -> &'k StepKey,
        attempt: u32,
        replayed: bool,
    ) -> Span {
        tracing::info_span!("step", id = id.as_str(), step = name, key = key().as_str(), attempt, replayed)
    }

    pub(crate) fn current() -> Span {
        Span::current()
    }

    pub(crate) fn warn(workflow: Option<&WorkflowId>, message: &str) {
        let id = workflow.map(WorkflowId::as_str);
        tracing::warn!(id, "{message}");
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::key::{StepKey, WorkflowId};

    #[derive(Clone)]
    pub(crate) struct Span;

    impl Span {
        #[expect(clippy::unused_self, reason = "the span that it stands in for has it")]
        pub(crate) fn in_scope<R>(&self, f: impl FnOnce() -> R) -> R {
            f()
        }
    }

    pub(crate) fn run_span(_: &str, _: &WorkflowId) -> Span {
        Span
    }

    pub(crate) fn step_span<'k>(
        _: &WorkflowId,
        _: &str,
        _: impl Fn() -> &'k StepKey,
        _: u32,
        _: bool,
    ) -> Span {
        Span
    }

    pub(crate) fn current() -> Span {
        Span
    }

    pub(crate) fn warn(_: Option<&WorkflowId>, _: &str) {}
}
