//! Looks after the runs that nobody executes: those that are due, and those whose owner is dead. One thread an
//! engine, which sleeps until the next run is due, something in this process changes, or it is time to ask
//! whether another process has committed anything. The death of an owner is told by the system: a thread for
//! each waits for its lock.
//! The one rule: what is to be done stands in the store before anything is done for it, so a process can die at
//! any moment and another one finds it there. Knows no SQL and no types of the user.

mod look;

use std::sync::{Arc, Weak};
use std::time::Duration;

use self::look::Look;
use crate::background::{Attendance, Attendant, Duty};
use crate::core::{Core, Settings};
use crate::engine::Engine;
use crate::sync::thread;
use crate::trace;

/// So often it is asked whether another process has committed anything: some microseconds of work each time.
const TICK: Duration = Duration::from_millis(100);

/// Looks after the runs of `engine` that wait, from now on.
pub(crate) fn take_up(engine: &Engine) {
    raise(engine, Duty::TakeUp);
    attend(engine);
}

/// Tells those who wait for the end of a run what other processes do, from now on.
pub(crate) fn attend(engine: &Engine) {
    let attendance = &engine.settings.background.attendance;
    let mut state = attendance.state();
    if state.thread != Attendant::None {
        return;
    }
    let (attendance, core, settings) =
        (Arc::clone(attendance), Arc::downgrade(&engine.core), Arc::downgrade(&engine.settings));
    let thread = thread::Builder::new().name("durable-scheduler".into());
    match thread.spawn(move || work(&attendance, &core, &settings)) {
        Ok(_) => state.thread = Attendant::There,
        Err(error) => {
            trace::warn(None, &format!("no thread can be had to look after waiting runs: {error}"));
        }
    }
}

/// Looks after the runs that wait, and after all those that nobody executes.
pub(crate) fn recover(engine: &Engine) {
    raise(engine, Duty::Recover);
    let attendance = &engine.settings.background.attendance;
    attendance.state().asked_to_recover = true;
    attend(engine);
    attendance.nudge();
}

fn raise(engine: &Engine, duty: Duty) {
    engine.settings.background.attendance.state().raise(duty);
}

fn work(attendance: &Arc<Attendance>, core: &Weak<Core>, settings: &Weak<Settings>) {
    let mut look = Look::default();
    while let Some(nudged) = attendance.next(TICK) {
        // Held for one look: an engine that nobody else has is gone.
        let (Some(core), Some(settings)) = (core.upgrade(), settings.upgrade()) else { return };
        if core.check_process().is_err() {
            return;
        }
        look.around(attendance, &Engine { core, settings }, nudged);
    }
}
