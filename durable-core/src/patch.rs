//! [`patched`]: whether a run takes the new way through code that was changed while runs of it were under way.
//! The one rule: the answer follows from what is recorded alone, so it is the same for ever. A marker that says yes
//! is recorded before, or together with, anything that rests on it; where something is recorded without one, the
//! answer is no.
//! Knows no store.

use std::panic::Location;
use std::sync::Arc;

use crate::build;
use crate::error::{Error, kind_word};
use crate::key::{Position, Site};
use crate::memo::is_unwinding;
use crate::run::Ambient;
use crate::scope::{Scope, What};
use crate::store::{Kind, StepRecord, StepStatus};

/// Whether this run is to take the new way at this place: `true` for a run that has recorded nothing here and behind
/// it yet, `false` for one that had before the patch was in the code.
///
/// A run replays what it has recorded, so code that other runs are under way in cannot simply be changed. With this the
/// old way stays for those that went it:
///
/// ```
/// use durable_core::patched;
/// # fn charge() -> u32 { 1 }
/// # fn check_fraud() {}
/// # fn order() -> u32 {
/// if patched("check-fraud") {
///     check_fraud(); // new
/// }
/// charge()
/// # }
/// # assert_eq!(order(), 1);
/// ```
///
/// The answer is the same whenever the run is replayed. Where it is `true` it takes a position, at which a marker is
/// recorded together with the next operation: it costs no write of its own, waits for nothing, and is the same function
/// for plain workflows and async ones, in branches and children. Each call is asked on its own: in a loop, an old run
/// goes on with the new way where it has not been yet. Ask once before the loop if all its turns are to go one way.
///
/// **To retire a patch**, wait until no run is left that was started before it, then take out the old way together with
/// the call: a recorded marker that nobody asks for is passed over. Give each patch a name of its own, and never use one
/// again for another change.
///
/// Outside a run and in a step, where nothing is replayed, it is `true`. Called while another operation of the same
/// scope is under way, it ends the run with [`Error::Unstructured`](crate::Error::Unstructured), as an operation does.
#[track_caller]
#[must_use = "a marker says nothing unless somebody goes by the answer"]
pub fn patched(name: &'static str) -> bool {
    match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope) => {
            let caller = Location::caller();
            let site = Site { file: caller.file(), line: caller.line() };
            is_new(&scope, name, site).unwrap_or_else(|fault| scope.run.unwind(fault))
        }
        _ => true,
    }
}

fn is_new(scope: &Arc<Scope>, name: &'static str, site: Site) -> Result<bool, Error> {
    let history = &scope.run.history;
    let mut is_recorded = false;
    let taken = scope.mark(What { name, kind: kind_word(Kind::Patch), site }, |position| {
        is_recorded = history.marker(position.path()) == Some(name);
        is_recorded || !scope.is_passed(position)
    })?;
    let Some(position) = taken else { return Ok(false) };
    if is_recorded {
        history.reach(position.path());
    } else if scope.run.check().is_none() {
        scope.run.markers.add(marker(scope, position, name, site));
    }
    Ok(true)
}

fn marker(scope: &Scope, position: Position, name: &str, site: Site) -> StepRecord {
    let now = scope.run.settings.clock.now();
    StepRecord {
        position,
        name: name.to_owned(),
        kind: Kind::Patch,
        scope: scope.label().map(str::to_owned),
        status: StepStatus::Completed,
        output: "true".to_owned(),
        args_fingerprint: None,
        args: None,
        site: site.to_string(),
        attempts: 1,
        started: now,
        timestamp: now,
        epoch: scope.run.epoch,
        build: build::id(),
        edited: false,
    }
}
