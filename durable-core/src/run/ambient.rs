//! What a thread or a poll knows of the run that it works for. It is set for the length of a call or of one poll
//! and restored on every way out, so it is never visible to another workflow on the same thread.

use std::cell::RefCell;
use std::sync::Arc;

use super::Run;
use crate::clock::{Clock, SystemClock};
use crate::draw;
use crate::key::StepKey;
use crate::scope::Scope;
use crate::sync::{Mutex, lock, thread_local};

/// What the current thread, or the current poll, is doing.
#[derive(Clone, Default)]
pub(crate) enum Ambient {
    /// Nothing durable.
    #[default]
    Outside,
    /// The engine is about to call the workflow function of this run.
    Entering(Arc<Run>),
    /// The body of a workflow, or a branch of one.
    Inside(Arc<Scope>),
    /// The body of a step: what it calls is plain.
    InStep(Arc<StepContext>),
}

/// The step that is running, or a part of it: what it calls is plain, and yet no two effects have one name.
pub(crate) struct StepContext {
    pub(crate) run: Arc<Run>,
    /// The key of the step, and below it `.<name>_<n>` for call `n` of that name in it, and `.<i>` for branch
    /// `i` of such a call. No name has a dot, so no two paths are one.
    pub(crate) path: Arc<str>,
    /// How often each name was called so far.
    calls: Mutex<Vec<(&'static str, u32)>>,
}

impl StepContext {
    /// An attempt of the step with this key.
    pub(crate) fn new(run: &Arc<Run>, key: &StepKey) -> Arc<Self> {
        Self::at(run, key.shared())
    }

    /// A call of step `name` while a panic unwinds, which no position could name.
    pub(crate) fn unwinding(run: &Arc<Run>, name: &str) -> Arc<Self> {
        Self::at(run, format!("{name}_{:016x}", draw::fresh()).into())
    }

    fn at(run: &Arc<Run>, path: Arc<str>) -> Arc<Self> {
        Arc::new(Self { run: Arc::clone(run), path, calls: Mutex::default() })
    }

    /// The next call in this step, of the step or parallel construct `name`.
    pub(crate) fn call(&self, name: &'static str) -> Arc<Self> {
        let mut calls = lock(&self.calls);
        let at = calls.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
            calls.push((name, 0));
            calls.len() - 1
        });
        let number = calls[at].1;
        calls[at].1 += 1;
        drop(calls);
        Self::at(&self.run, format!("{}.{name}_{number}", self.path).into())
    }

    /// Branch `index` of this construct.
    pub(crate) fn branch(&self, index: u32) -> Arc<Self> {
        Self::at(&self.run, format!("{}.{index}", self.path).into())
    }
}

thread_local! {
    static AMBIENT: RefCell<Ambient> = const { RefCell::new(Ambient::Outside) };
}

impl Ambient {
    /// The ambient state here. On a thread that is going down it is `Outside`.
    pub(crate) fn current() -> Self {
        AMBIENT.try_with(|ambient| ambient.borrow().clone()).unwrap_or_default()
    }

    /// Whether this is the body of a workflow, or a branch of one.
    pub(crate) fn is_inside() -> bool {
        AMBIENT.try_with(|ambient| matches!(*ambient.borrow(), Self::Inside(_))).unwrap_or_default()
    }

    /// Makes this the ambient state until the guard is dropped.
    pub(crate) fn enter(self) -> Entered {
        Entered { previous: AMBIENT.try_with(|ambient| ambient.replace(self)).ok() }
    }

    /// The clock of the run that this belongs to; outside, the machine's.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self.run() {
            Some(run) => Arc::clone(&run.settings.clock),
            None => Arc::new(SystemClock::default()),
        }
    }

    /// The run that this belongs to.
    pub(crate) fn run(&self) -> Option<&Arc<Run>> {
        match self {
            Self::Outside => None,
            Self::Entering(run) => Some(run),
            Self::Inside(scope) => Some(&scope.run),
            Self::InStep(step) => Some(&step.run),
        }
    }
}

/// Restores the ambient state from before [`Ambient::enter`].
pub(crate) struct Entered {
    previous: Option<Ambient>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(previous) = self.previous.take() {
            // The replaced state is dropped after the borrow: it may be the last owner of a run.
            drop(AMBIENT.try_with(|ambient| ambient.replace(previous)));
        }
    }
}
