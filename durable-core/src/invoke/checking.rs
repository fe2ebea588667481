//! The body of a run that is only checked: it is called, or polled, on the thread that checks, and what it returns is
//! dropped. Nothing of it is kept.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Prepared;
use super::ending::Closing;
use crate::engine::Engine;
use crate::error::Error;
use crate::fork::{Panic, is_own};
use crate::memo::message;
use crate::registry::{AsyncWorkflow, SyncWorkflow, Workflow};
use crate::run::{Ambient, Run};
use crate::runtime::Runtime;
use crate::signal::block_on;

pub(super) fn check_called<W: SyncWorkflow>(run: &Arc<Run>, input: &str) -> Result<(), Error> {
    let input = decoded::<W>(run, input)?;
    let _entering = Ambient::Entering(Arc::clone(run)).enter();
    ended(run, catch_unwind(AssertUnwindSafe(|| drop(W::call(input)))))
}

pub(super) fn check_polled<W: AsyncWorkflow>(run: &Arc<Run>, input: &str) -> Result<(), Error> {
    let input = decoded::<W>(run, input)?;
    // What the body makes between its steps may be the runtime's.
    let _within = run.settings.background.runtime.as_ref().map(Runtime::enter);
    let called = catch_unwind(AssertUnwindSafe(|| {
        let mut body = Box::pin(W::call(input));
        block_on(poll_fn(|cx| {
            // For the length of a poll, as in every run.
            let _entering = Ambient::Entering(Arc::clone(run)).enter();
            body.as_mut().poll(cx).map(drop)
        }));
    }));
    ended(run, called)
}

fn decoded<W: Workflow>(run: &Arc<Run>, input: &str) -> Result<W::Input, Error> {
    let engine = Engine { core: Arc::clone(&run.core), settings: Arc::clone(&run.settings) };
    let prepared = Prepared::<W>::of(engine, run.id.clone());
    prepared.decode_caught(input).map_err(|closing| match closing {
        Closing::Fault(fault) => fault,
        Closing::Panicked(message) => Error::Panicked { workflow: run.id.clone(), message },
        // It says why nothing was called, and this is no reason.
        Closing::Ended(_) => Error::LostOwnership { workflow: run.id.clone() },
    })
}

fn ended(run: &Run, called: Result<(), Panic>) -> Result<(), Error> {
    match (run.fault(), called) {
        (Some(fault), _) => Err(fault.clone()),
        (None, Err(panic)) if is_own(&panic) => Err(run.panicked(&message(&*panic))),
        (None, _) => Ok(()),
    }
}
