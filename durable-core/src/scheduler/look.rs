//! One look at the store, and what it remembers until the next: which runs can be taken up now, and when to
//! look again. Whoever loses the race for a run finds out when it claims it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

mod deadlines;

use self::deadlines::Deadlines;
use super::TICK;
use crate::background::{Attendance, AttendanceState, Duty, Order, TAKEN_MAX};
use crate::clock::{Alarm, Lapse, Timestamp, next_pause};
use crate::engine::Engine;
use crate::key::WorkflowId;
use crate::store::{Candidate, OwnerId, StoreError, Wanted};
use crate::sync::thread;
use crate::trace;

/// So many runs are asked for at once.
const PAGE: u32 = 256;

/// A failed look is tried again after this time, twice as long after each failure, so often at most.
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_TIMES_MAX: u32 = 12;

/// How long to wait after so many failures.
fn pause_after(times: u32) -> Duration {
    AGAIN_MIN.saturating_mul(2_u32.saturating_pow(times))
}

#[derive(Default)]
pub(super) struct Look {
    /// What the store was like at the last look.
    version: Option<u64>,
    /// How long ago that was asked.
    asked: Option<Lapse>,
    /// When the next run is due, and the alarm for it.
    next_due: Option<(Timestamp, Alarm)>,
    deadlines: Deadlines,
    /// Whether more is due than could be taken up.
    left_over: bool,
    /// The dead whose runs are to be taken up.
    dead: VecDeque<Dead>,
    /// The runs that could not be had: how often, and from when on the clock that never goes back they are
    /// tried again.
    deferred: HashMap<WorkflowId, (u32, Duration)>,
    /// The workflows that no code is known for, each told once.
    unknown: HashSet<String>,
    /// Whether it was told that the runtime has shut down.
    told_of_the_runtime: bool,
}

/// A dead owner, or nobody, and how far its runs have been taken up.
struct Dead {
    owner: Option<OwnerId>,
    after: Option<WorkflowId>,
    /// Whether this pass has found a run that could be taken up.
    found: bool,
    passes: u32,
    /// Not before this time on the clock that never goes back.
    from: Duration,
}

impl Look {
    pub(super) fn around(&mut self, attendance: &Arc<Attendance>, engine: &Engine, nudged: bool) {
        if let Err(error) = self.try_around(attendance, engine, nudged) {
            // It is looked again with the next tick, as if nothing had been seen.
            self.version = None;
            trace::warn(None, &format!("the runs that wait could not be looked for: {error}"));
        }
    }

    fn try_around(
        &mut self,
        attendance: &Arc<Attendance>,
        engine: &Engine,
        nudged: bool,
    ) -> Result<(), StoreError> {
        let changed = self.has_changed(engine)?;
        if changed {
            heed(engine)?;
            engine.core.tell_all_watchers();
        }
        let duty = {
            let mut state = attendance.state();
            self.note_the_dead(&mut state, engine);
            self.note_the_missed(&mut state, engine);
            state.duty()
        };
        self.deadlines.look(attendance, engine, changed || nudged)?;
        if duty < Duty::TakeUp {
            return Ok(());
        }
        if duty == Duty::Recover && changed {
            watch_owners(attendance, engine)?;
        }
        self.take_up_of_the_dead(attendance, engine)?;
        let now = engine.settings.clock.now();
        let is_due = self.next_due.as_ref().is_some_and(|(at, _)| *at <= now);
        if changed || nudged || is_due || self.left_over {
            self.take_up_due(attendance, engine, now)?;
        }
        Ok(())
    }

    /// Whether anybody has committed anything. Asked once in a tick: this process itself nudges more often, and
    /// tells those who wait for its own runs.
    fn has_changed(&mut self, engine: &Engine) -> Result<bool, StoreError> {
        if self.version.is_some() && self.asked.as_ref().is_some_and(|asked| asked.elapsed() < TICK) {
            return Ok(false);
        }
        self.asked = Some(Lapse::start());
        let version = engine.core.reader().version()?;
        Ok(self.version.replace(version) != Some(version))
    }

    fn note_the_dead(&mut self, state: &mut AttendanceState, engine: &Engine) {
        let nobody = std::mem::take(&mut state.asked_to_recover).then_some(None);
        let dead = std::mem::take(&mut state.died).into_iter().map(Some);
        let from = engine.settings.clock.elapsed();
        let begin = |owner| Dead { owner, after: None, found: false, passes: 0, from };
        self.dead.extend(nobody.into_iter().chain(dead).map(begin));
    }

    /// A run that could not be had is left alone for a while, and longer each time.
    fn note_the_missed(&mut self, state: &mut AttendanceState, engine: &Engine) {
        let now = engine.settings.clock.elapsed();
        self.deferred.retain(|_, (times, from)| now < from.saturating_add(pause_after(*times)));
        for id in std::mem::take(&mut state.missed) {
            let (times, from) = self.deferred.entry(id).or_default();
            *from = now.saturating_add(pause_after(*times));
            *times = times.saturating_add(1).min(AGAIN_TIMES_MAX);
        }
    }

    /// Goes once through the runs of each dead owner, and again later if there were any: who takes one up can
    /// fail to.
    fn take_up_of_the_dead(
        &mut self,
        attendance: &Arc<Attendance>,
        engine: &Engine,
    ) -> Result<(), StoreError> {
        for _ in 0..self.dead.len() {
            let Some(mut dead) = self.dead.pop_front() else { return Ok(()) };
            let now = engine.settings.clock.elapsed();
            let again = if now < dead.from { Ok(true) } else { self.pass(&mut dead, attendance, engine) };
            // After a failed look too: nobody tells of this death again.
            if !matches!(again, Ok(false)) {
                self.dead.push_back(dead);
            }
            again?;
        }
        Ok(())
    }

    /// Whether the runs of this owner are to be looked at again.
    fn pass(
        &mut self,
        dead: &mut Dead,
        attendance: &Arc<Attendance>,
        engine: &Engine,
    ) -> Result<bool, StoreError> {
        if let Some(owner) = &dead.owner
            && engine.core.reader().lives(owner)?
        {
            // The system would not wait for its death.
            attendance.state().watched.remove(owner);
            return Ok(false);
        }
        loop {
            let page = engine.core.reader().interrupted(dead.owner.as_ref(), dead.after.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE as usize;
            for candidate in page {
                let id = candidate.id.clone();
                match self.take_up(candidate, attendance, engine) {
                    Taken::Full => return Ok(true),
                    Taken::Up => dead.found = true,
                    Taken::Not => {}
                }
                dead.after = Some(id);
            }
            if is_last {
                break;
            }
        }
        let again = std::mem::take(&mut dead.found) && dead.passes < AGAIN_TIMES_MAX;
        dead.after = None;
        dead.from = engine.settings.clock.elapsed().saturating_add(pause_after(dead.passes));
        dead.passes += 1;
        Ok(again)
    }

    fn take_up_due(
        &mut self,
        attendance: &Arc<Attendance>,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.left_over = false;
        let mut after = None;
        loop {
            let page = engine.core.reader().due(now, after.as_ref(), PAGE)?;
            let is_last = page.len() < PAGE as usize;
            after = page.last().map(|(at, run)| (*at, run.id.clone()));
            for (_, candidate) in page {
                if let Taken::Full = self.take_up(candidate, attendance, engine) {
                    self.left_over = true;
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        let next = engine.core.reader().next_due(now)?;
        if next != self.next_due.as_ref().map(|(at, _)| *at) {
            self.next_due = None;
        }
        let clock = &engine.settings.clock;
        self.next_due = next.map(|at| {
            // The wall clock may be set meanwhile, so the alarm rings now and then on the way.
            let pause = next_pause(&**clock, at).unwrap_or_default();
            (at, clock.wake_after(pause, attendance.waker()))
        });
        Ok(())
    }

    fn take_up(&mut self, run: Candidate, attendance: &Arc<Attendance>, engine: &Engine) -> Taken {
        let Some(execution) = engine.settings.workflows.get(run.name.as_str()) else {
            self.tell_unknown(&run);
            return Taken::Not;
        };
        if !engine.settings.background.executes(execution.mode, &engine.core) {
            self.tell_of_the_runtime();
            return Taken::Not;
        }
        if engine.core.is_reserved(&run.id) {
            return Taken::Not;
        }
        let now = engine.settings.clock.elapsed();
        if self.deferred.get(&run.id).is_some_and(|(_, from)| now < *from) {
            // With the next tick it is looked at again.
            self.left_over = true;
            return Taken::Not;
        }
        {
            let mut state = attendance.state();
            if state.taken.len() >= TAKEN_MAX {
                return Taken::Full;
            }
            if !state.taken.insert(run.id.clone()) {
                return Taken::Not;
            }
        }
        let (core, settings) = (Arc::clone(&engine.core), Arc::clone(&engine.settings));
        Order { core, settings, id: run.id, held: None }.submit(*execution);
        Taken::Up
    }

    fn tell_of_the_runtime(&mut self) {
        if !std::mem::replace(&mut self.told_of_the_runtime, true) {
            let message = "the tokio runtime of this engine has shut down, so its async workflows are left to other engines";
            trace::warn(None, message);
        }
    }

    fn tell_unknown(&mut self, run: &Candidate) {
        if self.unknown.insert(run.name.clone()) {
            let message = format!(
                "no workflow of this program is named {:?}, so its run is left alone: link the crate that has it \
                 (`use the_crate as _;`), or name it with `Engine::builder().register`",
                run.name
            );
            trace::warn(Some(&run.id), &message);
        }
    }
}

enum Taken {
    Up,
    Not,
    /// As many as can be are being taken up.
    Full,
}

/// Stops the runs of this process that another one has asked something of.
fn heed(engine: &Engine) -> Result<(), StoreError> {
    let wanted: Vec<(WorkflowId, Wanted)> = engine.core.reader().wanted(&engine.core.owner)?;
    for (id, wanted) in wanted {
        if let Some(run) = engine.core.executed(&id) {
            run.heed(wanted);
        }
    }
    Ok(())
}

/// Waits, on a thread for each, for the death of those who have runs.
fn watch_owners(attendance: &Arc<Attendance>, engine: &Engine) -> Result<(), StoreError> {
    let owners = engine.core.reader().owners()?;
    for owner in owners.into_iter().filter(|owner| *owner != engine.core.owner) {
        if !attendance.state().watched.insert(owner.clone()) {
            continue;
        }
        let death = engine.core.reader().death_of(&owner);
        let (told, dead) = (Arc::downgrade(attendance), owner.clone());
        let wait = move || {
            if let Some(death) = death {
                death();
            }
            if let Some(attendance) = told.upgrade() {
                attendance.state().died.push(dead);
                attendance.nudge();
            }
        };
        if thread::Builder::new().name("durable-attendance".into()).spawn(wait).is_err() {
            // With the next change it is tried again.
            attendance.state().watched.remove(&owner);
        }
    }
    Ok(())
}
