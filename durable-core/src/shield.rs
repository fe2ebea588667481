//! A region of a workflow that a cancellation does not cut in two: what was begun in it can be undone in it. It takes
//! no position and records nothing, so that a replay need not know of it. Knows no store.

use std::future::poll_fn;
use std::sync::Arc;

use crate::memo::is_unwinding;
use crate::run::{Ambient, Run};

/// Calls `region`; while it runs, the run is neither cancelled nor paused. A cancellation that comes meanwhile takes
/// effect when the region ends: its value is not returned then.
///
/// A cancelled run ends like one that met a fault: the code of the workflow cannot catch it, so it cannot undo
/// anything afterwards either. What must not be left half-done, and its undoing, belongs into a region that began
/// before. Operations in it are recorded as ever; the region itself takes no position. Regions nest, and the
/// outermost one counts. As long as one branch of a run is in a region, all of its branches go on.
///
/// A workflow that is called plainly in the region is part of it. One that is started by an entry point is a run of
/// its own, and cancelled with this one: its cancellation ends this run too, also in the region.
///
/// # Durability
/// The region lives as long as its process. If that dies in it, the run goes on there when it is taken up again, by
/// its recorded steps; but if it was cancelled meanwhile, it stays as it is, half-done. So does one whose region
/// panics after it was cancelled. An engine that is shut down gives a run up in a region at its next operation,
/// unless it was cancelled: then the region comes to its end first.
///
/// Outside a run, and in a step, it is a plain call.
///
/// # Examples
/// ```
/// # fn reserve(_: &str) -> Result<u32, String> { Ok(7) }
/// # fn pay(_: u32) -> Result<(), String> { Err("declined".into()) }
/// # fn release(_: u32) {}
/// // All three are steps: whatever happens, nothing stays reserved that is not paid for.
/// let booked = durable_core::shield(|| {
///     let seat = reserve("12 A")?;
///     if let Err(declined) = pay(seat) {
///         release(seat);
///         return Err(declined);
///     }
///     Ok(seat)
/// });
/// assert_eq!(booked, Err("declined".to_owned()));
/// ```
pub fn shield<R>(region: impl FnOnce() -> R) -> R {
    let Some(run) = run_here() else { return region() };
    let shielded = run.shield();
    let returned = region();
    drop(shielded);
    match run.fault() {
        Some(fault) => run.unwind(fault.clone()),
        None => returned,
    }
}

/// As [`shield`](crate::shield), for what `region` awaits. It begins with the first poll, and ends when the future
/// ends or is dropped.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// # async fn reserve() -> u32 { 7 }
/// # async fn confirm(_: u32) {}
/// let seat = block_on(durable_core::future::shield(async {
///     let seat = reserve().await;
///     confirm(seat).await;
///     seat
/// }));
/// assert_eq!(seat, 7);
/// ```
pub async fn shield_polled<F: Future>(region: F) -> F::Output {
    let Some(run) = run_here() else { return region.await };
    let shielded = run.shield();
    let returned = region.await;
    drop(shielded);
    let fault = run.fault().cloned();
    match fault {
        Some(fault) => poll_fn(|cx| run.suspend(cx, fault.clone())).await,
        None => returned,
    }
}

/// The run whose body this is.
fn run_here() -> Option<Arc<Run>> {
    match Ambient::current() {
        Ambient::Inside(scope) if !is_unwinding(&scope) => Some(Arc::clone(&scope.run)),
        _ => None,
    }
}
