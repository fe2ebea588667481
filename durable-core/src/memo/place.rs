//! Where a step is called: in a body, which gives it a position, or where its call is plain. Knows no store.

use std::panic::panic_any;
use std::sync::Arc;

use super::StepSpec;
use crate::failed::{FailureKind, StepFailed};
use crate::outcome::Codec;
use crate::run::{Ambient, Run, StepContext, any_live, any_strict};
use crate::scope::Scope;
use crate::trace;

/// Where a step is called.
pub(crate) enum Place {
    /// Outside a run, inside another step, or while a panic unwinds: a plain call, in its own context where
    /// a run is known.
    Plain(Option<Ambient>),
    /// Outside a run, where that is an error.
    Refused(StepFailed),
    /// In the body of a workflow or in a branch of it.
    Scope(Arc<Scope>),
}

pub(crate) fn place(spec: &StepSpec) -> Place {
    match Ambient::current() {
        Ambient::Inside(scope) if is_unwinding(&scope) => {
            Place::Plain(Some(Ambient::InStep(StepContext::unwinding(&scope.run, spec.name))))
        }
        Ambient::Inside(scope) => Place::Scope(scope),
        Ambient::InStep(step) => Place::Plain(Some(Ambient::InStep(step.call(spec.name)))),
        Ambient::Entering(run) => {
            if let Some(check) = run.check() {
                check.end_body();
            }
            Place::Plain(None)
        }
        Ambient::Outside if spec.strict || any_strict() => {
            let message = format!(
                "step `{}` ({}) is strict and was called where no run is known",
                spec.name, spec.site
            );
            Place::Refused(StepFailed::new(FailureKind::Unowned, spec.name, message, 0))
        }
        Ambient::Outside => {
            if any_live() {
                let message = "was called from a thread or task that no run knows, while runs are live: nothing is recorded";
                trace::warn(None, &format!("step `{}` ({}) {message}", spec.name, spec.site));
            }
            Place::Plain(None)
        }
    }
}

pub(super) fn plain<R>(within: Option<Ambient>, body: impl FnOnce() -> R) -> R {
    let _within = within.map(Ambient::enter);
    body()
}

/// Whether the current thread unwinds, or what this scope belongs to is dropped before its end, so that an
/// operation is a plain call. After a fault there is nothing that a call could give back, and the program ends
/// with the reason; in a check, no operation begins on the way out.
pub(crate) fn is_unwinding(scope: &Scope) -> bool {
    if let Some(check) = scope.run.check()
        && (std::thread::panicking() || scope.is_abandoned())
    {
        check.end_body();
    }
    if scope.is_abandoned() {
        return true;
    }
    match scope.run.fault() {
        Some(fault) if Run::is_unwinding_by_fault() => scope.run.unwind(fault.clone()),
        _ => std::thread::panicking(),
    }
}

/// A refused call, as the error of the step if its type can hold it.
#[expect(
    clippy::panic,
    reason = "a misplaced step whose type has no room for an error has no other way to say so"
)]
pub(crate) fn refused<C: Codec>(codec: C, failed: StepFailed) -> C::Returned {
    codec.from_failed(failed).unwrap_or_else(|failed| panic_any(failed.to_string()))
}
