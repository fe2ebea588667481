//! The durable sleep: the time to wake is recorded before anyone waits for it, and a resumed run waits for
//! what is left. Knows no executor: a future that sleeps is woken by the engine's clock.

use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use crate::args::ArgsSink;
use crate::call::{Call, Found, Known};
use crate::clock::{Pause, Timestamp, next_pause};
use crate::error::Error;
use crate::key::Site;
use crate::memo::is_unwinding;
use crate::outcome::{Encoded, Json, decode_input};
use crate::pool::while_blocked;
use crate::run::{Ambient, Run};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::store::{Kind, StepStatus};

/// Waits for `time`, through crashes: the time to wake is recorded, and a resumed run waits for what is left.
///
/// It blocks the thread; [`future::sleep`](crate::future::sleep) does not. Outside a run, and in a step, it
/// is a plain sleep.
///
/// # Examples
/// ```
/// durable_core::sleep(std::time::Duration::from_millis(1));
/// ```
#[track_caller]
pub fn sleep(time: Duration) {
    block(Until::After(time), Location::caller());
}

/// Waits until the wall clock shows `time`, through crashes. See [`sleep`].
///
/// # Examples
/// ```
/// durable_core::sleep_until(std::time::SystemTime::UNIX_EPOCH); // has passed
/// ```
#[track_caller]
pub fn sleep_until(time: SystemTime) {
    block(Until::At(time.into()), Location::caller());
}

/// As [`sleep`](crate::sleep), without blocking the thread, under any executor.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// block_on(durable_core::future::sleep(std::time::Duration::from_millis(1)));
/// ```
#[track_caller]
pub fn sleep_polled(time: Duration) -> impl Future<Output = ()> + Send {
    wait(Until::After(time), Location::caller())
}

/// As [`sleep_until`](crate::sleep_until), without blocking the thread, under any executor.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// block_on(durable_core::future::sleep_until(std::time::SystemTime::UNIX_EPOCH)); // has passed
/// ```
#[track_caller]
pub fn sleep_until_polled(time: SystemTime) -> impl Future<Output = ()> + Send {
    wait(Until::At(time.into()), Location::caller())
}

#[derive(Clone, Copy)]
enum Until {
    After(Duration),
    At(Timestamp),
}

impl Until {
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::After(time) => now.plus(time),
            Self::At(at) => at,
        }
    }
}

fn block(until: Until, caller: &Location<'static>) {
    let ambient = Ambient::current();
    let clock = ambient.clock();
    let begun = match scope_of(&ambient) {
        None => Ok(Begun::Recorded(None, until.from(clock.now()))),
        Some(scope) => begin(scope, until, caller)
            .and_then(Found::here)
            .and_then(|known| begun(known, until))
            .map_err(|fault| (Arc::clone(&scope.run), fault)),
    };
    let begun = begun.and_then(|begun| match begun {
        Begun::Fresh(mut call, wake) => {
            let run = Arc::clone(call.run());
            call.record(stored(wake), 1).map_err(|fault| (run, fault))?;
            Ok((Some(call), wake))
        }
        Begun::Recorded(call, wake) => Ok((call, wake)),
    });
    let begun = begun.and_then(unload_if_long);
    let (call, wake) = begun.unwrap_or_else(|(run, fault)| run.unwind(fault));
    while let Some(pause) = next_pause(&*clock, wake) {
        let Some(run) = call.as_ref().map(Call::run) else {
            clock.pause(pause);
            continue;
        };
        let paused = while_blocked(|| block_on(run.unless_left(Pause::new(Arc::clone(&clock), pause))));
        paused.unwrap_or_else(|fault| run.unwind(fault));
    }
    end(call, wake);
}

async fn wait(until: Until, caller: &'static Location<'static>) {
    let ambient = Ambient::current();
    let clock = ambient.clock();
    let begun = match scope_of(&ambient) {
        None => Ok(Begun::Recorded(None, until.from(clock.now()))),
        Some(scope) => {
            let run = Arc::clone(&scope.run);
            let found = begin(scope, until, caller);
            drop(ambient);
            let known = async { found?.awaited().await };
            known.await.and_then(|known| begun(known, until)).map_err(|fault| (run, fault))
        }
    };
    let begun = match begun {
        Ok(Begun::Recorded(call, wake)) => Ok((call, wake)),
        Ok(Begun::Fresh(call, wake)) => {
            let run = Arc::clone(call.run());
            match call.submit(stored(wake), 1) {
                Ok(recording) => Ok((Some(recording.done().await.0), wake)),
                Err(fault) => Err((run, fault)),
            }
        }
        Err(stopped) => Err(stopped),
    };
    let (call, wake) = match begun.and_then(unload_if_long) {
        Ok(begun) => begun,
        Err((run, fault)) => poll_fn(|cx| run.suspend(cx, fault.clone())).await,
    };
    while let Some(pause) = next_pause(&*clock, wake) {
        let pause = Pause::new(Arc::clone(&clock), pause);
        let Some(call) = &call else {
            pause.await;
            continue;
        };
        let mut paused = pin!(call.run().unless_left(pause));
        let mut fault = None;
        poll_fn(|cx| {
            if fault.is_none() {
                fault = match call.ticket.check_here() {
                    Ok(()) => ready!(paused.as_mut().poll(cx)).err(),
                    Err(fault) => Some(fault),
                };
            }
            fault.clone().map_or(Poll::Ready(()), |fault| call.run().suspend(cx, fault))
        })
        .await;
    }
    end(call, wake);
}

/// A run that waits longer is unloaded from memory, if nobody waits for it with a call of its own.
pub(crate) const LOADED_MAX: Duration = Duration::from_secs(1);

/// The fault that unloads the run, if this sleep is all that it does, and is a long one: the time to wake is
/// recorded, and somebody takes the run up then.
fn unload_if_long(
    (call, wake): (Option<Call>, Timestamp),
) -> Result<(Option<Call>, Timestamp), (Arc<Run>, Error)> {
    if let Some(call) = &call {
        let run = call.run();
        let is_long = wake.since(run.settings.clock.now()) > LOADED_MAX;
        if is_long && run.in_background && call.ticket.scope.is_alone() && cfg!(panic = "unwind") {
            let fault = Error::Unloaded { workflow: run.id.clone(), until: wake };
            return Err((Arc::clone(run), fault));
        }
    }
    Ok((call, wake))
}

/// A sleep that has begun: the time to wake, and the operation that holds its position until then; none
/// outside the body of a workflow.
enum Begun {
    /// The time is to be recorded before anyone waits for it.
    Fresh(Call, Timestamp),
    Recorded(Option<Call>, Timestamp),
}

fn stored(wake: Timestamp) -> Encoded {
    Encoded { status: StepStatus::Completed, json: wake.as_millis().to_string() }
}

/// The scope whose operation a sleep is; none outside the body of a workflow.
fn scope_of(ambient: &Ambient) -> Option<&Arc<Scope>> {
    match ambient {
        Ambient::Inside(scope) if !is_unwinding(scope) => Some(scope),
        _ => None,
    }
}

/// Takes a position, and looks for the time to wake there.
fn begin(scope: &Arc<Scope>, until: Until, caller: &Location<'static>) -> Result<Found, Error> {
    let site = Site { file: caller.file(), line: caller.line() };
    let mut args = ArgsSink::new();
    match until {
        Until::After(time) => args.add(&time),
        Until::At(at) => args.add(&at.as_millis()),
    }
    Call::begin(scope, Kind::Sleep, "sleep", site, args.finish())?.look()
}

fn begun(known: Known, until: Until) -> Result<Begun, Error> {
    match known {
        Known::Nothing(call) => {
            let wake = until.from(call.started);
            Ok(Begun::Fresh(call, wake))
        }
        Known::Output(call, output) => match decode_input(Json::<i64>::NEW, output.as_str()) {
            Ok((millis, _)) => {
                let wake = Timestamp::from_millis(millis);
                call.check_wait(wake);
                Ok(Begun::Recorded(Some(call), wake))
            }
            Err(undecodable) => Err(call.undecodable(undecodable)),
        },
    }
}

fn end(call: Option<Call>, wake: Timestamp) {
    if let Some(call) = call {
        call.end(wake);
    }
}
