//! The end of a run: what its function returned, panicked with or was stopped by, and the record of that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::Error;
use crate::fork::Panic;
use crate::held::Held;
use crate::memo::message;
use crate::outcome::{Encoded, Settled, Tried, settle};
use crate::registry::Workflow;
use crate::run::Run;
use crate::store::{End, StepStatus};

/// What is to be recorded as the end of a run.
pub(super) enum Closing {
    Ended(Encoded),
    Fault(Error),
    Panicked(String),
}

/// How the function ended, and what a replay makes of what it returned.
pub(super) fn settled<W: Workflow>(
    run: &Run,
    called: Result<W::Returned, Panic>,
) -> (Closing, Option<W::Returned>) {
    if let Some(fault) = run.fault() {
        return (Closing::Fault(fault.clone()), None);
    }
    // What the user's serde does with the result is part of the workflow: it can panic too.
    let tried = Tried { step: W::SPEC.name, attempts: 1 };
    let settled = called.and_then(|returned| {
        let settle = || settle(&W::codec(), tried, returned, run.settings.payload_bytes_max);
        catch_unwind(AssertUnwindSafe(settle))
    });
    match settled {
        Err(panic) => (Closing::Panicked(message(&*panic)), None),
        Ok(Err(source)) => {
            let (workflow, step, source) = (run.id.clone(), W::SPEC.name.to_owned(), Arc::new(source));
            (Closing::Fault(Error::Unstorable { workflow, step, site: W::SPEC.site, source }), None)
        }
        Ok(Ok(Settled { encoded, returned })) => (Closing::Ended(encoded), Some(returned)),
    }
}

/// Records the end of the run, and gives it up.
pub(super) async fn close(held: Held, closing: Closing) -> Result<Encoded, Error> {
    match closing {
        Closing::Panicked(message) => Err(held.give_up_panicked(&message).await),
        Closing::Fault(fault) => {
            held.give_up(&fault).await;
            Err(fault)
        }
        Closing::Ended(encoded) => {
            let end = match encoded.status {
                StepStatus::Completed => End::Completed(encoded.json.clone()),
                StepStatus::Failed | StepStatus::Begun => End::Failed(encoded.json.clone()),
            };
            held.finish(end).await?;
            Ok(encoded)
        }
    }
}
