//! What an engine executes of its own accord: threads for its runs, and what is known of those that wait to be
//! taken up. What is done with it is the business of `scheduler`.
//! Knows no types of the user.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::core::{Core, Settings};
use crate::error::Error;
use crate::executor::{Executor, Polled};
use crate::held::Held;
use crate::key::WorkflowId;
use crate::pool::Pool;
use crate::run::{Mode, Run};
use crate::runtime::Runtime;
use crate::store::OwnerId;
use crate::sync::{self, Condvar, Mutex, MutexGuard, lock, wait_while_for};

/// So many plain workflows are executed in the background at once, unless
/// [`Builder::workers_max`](crate::Builder::workers_max) says otherwise.
pub const WORKERS_MAX: usize = 64;

/// The most runs that are being taken up at once: more of them stay in the store until some have settled.
pub(crate) const TAKEN_MAX: usize = 1_000;

/// The execution of one run, without its types. Dropped, it gives the run up.
pub(crate) enum Job {
    /// Blocks the thread that it is called on.
    Called(Box<dyn FnOnce() + Send>),
    /// Is polled.
    Polled(Polled),
}

/// A run to execute: on this engine, by its id alone or with the right to it and its input.
pub(crate) struct Order {
    pub(crate) core: Arc<Core>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) id: WorkflowId,
    pub(crate) held: Option<(Held, String)>,
}

impl Order {
    /// Executes the run some time, in the background of its engine. After [`Background::close`], and on a runtime that
    /// has shut down, it is given up.
    pub(crate) fn submit(self, execution: Execution) {
        let (core, settings) = (Arc::clone(&self.core), Arc::clone(&self.settings));
        let Background { workers, executor, runtime, .. } = &settings.background;
        match ((execution.execute)(self), runtime) {
            (Job::Called(called), _) => workers.submit(called),
            (Job::Polled(polled), None) => executor.spawn(polled),
            (Job::Polled(polled), Some(_)) if settings.background.is_closed() => drop(polled),
            (Job::Polled(polled), Some(runtime)) => {
                let engine = LastHold { core: Some(core), settings: Some(Arc::clone(&settings)) };
                runtime.spawn(OnRuntime { polled, _engine: engine });
            }
        }
    }
}

/// A run on a runtime.
struct OnRuntime {
    polled: Polled,
    /// Dropped after the future.
    _engine: LastHold,
}

impl Future for OnRuntime {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polled.as_mut().poll(cx)
    }
}

/// Holds an engine on a thread that must not be blocked: where it is the last one to, it lets the engine go on another
/// thread, since that waits for the disk, and drops what the user gave to it.
struct LastHold {
    core: Option<Arc<Core>>,
    settings: Option<Arc<Settings>>,
}

impl Drop for LastHold {
    fn drop(&mut self) {
        let settings = self.settings.take().and_then(Arc::into_inner);
        let core = self.core.take().and_then(Arc::into_inner);
        if settings.is_some() || core.is_some() {
            // Where the system gives no thread, it is dropped here: late is better than never.
            let thread = sync::thread::Builder::new().name("durable-closer".into());
            _ = thread.spawn(move || drop((settings, core)));
        }
    }
}

/// How a run is executed, and how it is only checked, whose types nobody knows.
#[derive(Clone, Copy)]
pub struct Execution {
    pub(crate) mode: Mode,
    pub(crate) execute: fn(Order) -> Job,
    /// Calls the function of a checked run with its stored input. An error, if that or a fault ends it.
    pub(crate) check: fn(&Arc<Run>, &str) -> Result<(), Error>,
}

/// What one engine has in the background. Dropped, it takes no new work.
pub(crate) struct Background {
    pub(crate) workers: Pool,
    executor: Executor,
    /// What polls in the executor's place.
    pub(crate) runtime: Option<Runtime>,
    pub(crate) attendance: Arc<Attendance>,
}

impl Default for Background {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            workers: Pool::new("durable-worker", WORKERS_MAX),
            executor: Executor::new(Pool::new("durable-executor", threads)),
            runtime: None,
            attendance: Arc::default(),
        }
    }
}

impl Background {
    /// Whether runs of this kind are executed here: those that are polled are not, once the engine's runtime has shut
    /// down. Who waits for a run of `core` is told of that.
    pub(crate) fn executes(&self, mode: Mode, core: &Arc<Core>) -> bool {
        let Some(runtime) = self.runtime.as_ref().filter(|_| mode == Mode::Polled) else { return true };
        let core = Arc::downgrade(core);
        runtime.lives(move || {
            if let Some(core) = core.upgrade() {
                core.tell_all_watchers();
                drop(LastHold { core: Some(core), settings: None });
            }
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.workers.is_closed()
    }

    /// Takes no new work, and gives up what has not begun.
    pub(crate) fn close(&self) {
        self.attendance.take_up_no_more();
        self.workers.close();
        self.executor.close_to_new();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.attendance.stop();
        self.close();
    }
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Execution")
    }
}

/// What the thread that looks after waiting runs is told, and by whom it is woken.
#[derive(Default)]
pub(crate) struct Attendance {
    state: Mutex<AttendanceState>,
    changed: Condvar,
}

/// The thread that looks after waiting runs.
#[derive(Default, PartialEq)]
pub(crate) enum Attendant {
    /// Nobody has asked for it yet.
    #[default]
    None,
    There,
    /// It is to end, and does not come again.
    Stopped,
}

/// How the execution of a run came out that was taken up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It has ended, or is somebody else's.
    Ended,
    /// It waits, and may be due soon.
    Waits,
    /// It could not be claimed, and stays as it is.
    Missed,
}

/// What it looks after; each includes what stands before it.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Duty {
    /// Those are told who wait for the end of a run.
    #[default]
    Tell,
    /// Runs that are due are taken up.
    TakeUp,
    /// So are the runs of dead owners, and of nobody.
    Recover,
}

#[derive(Default)]
pub(crate) struct AttendanceState {
    pub(crate) thread: Attendant,
    nudged: bool,
    duty: Duty,
    /// Whether nothing is taken up any more, whoever asks for it.
    only_tells: bool,
    /// Whether those of nobody are to be looked for.
    pub(crate) asked_to_recover: bool,
    /// The owners whose death is, or was, waited for, and those that have died since the last look.
    pub(crate) watched: HashSet<OwnerId>,
    pub(crate) died: Vec<OwnerId>,
    /// The runs that are being taken up, and those that could not be.
    pub(crate) taken: HashSet<WorkflowId>,
    pub(crate) missed: Vec<WorkflowId>,
}

impl AttendanceState {
    pub(crate) fn duty(&self) -> Duty {
        if self.only_tells { Duty::Tell } else { self.duty }
    }

    pub(crate) fn raise(&mut self, duty: Duty) {
        self.duty = self.duty.max(duty);
    }
}

impl Attendance {
    /// Something has changed in this process: looks at once.
    pub(crate) fn nudge(&self) {
        self.state().nudged = true;
        self.changed.notify_all();
    }

    /// Takes up no run from now on. Those who wait for the end of one are still told of it: other processes go on.
    fn take_up_no_more(&self) {
        self.state().only_tells = true;
    }

    fn stop(&self) {
        self.state().thread = Attendant::Stopped;
        self.changed.notify_all();
    }

    /// The run is no longer being taken up. Who settles the last one that there was room for lets others in.
    pub(crate) fn settled(&self, id: &WorkflowId, how: Settled) {
        let is_news = {
            let mut state = self.state();
            let was_full = state.taken.len() >= TAKEN_MAX;
            state.taken.remove(id);
            state.missed.extend((how == Settled::Missed).then(|| id.clone()));
            let is_news = was_full || how != Settled::Ended;
            state.nudged |= is_news;
            is_news
        };
        if is_news {
            self.changed.notify_all();
        }
    }

    /// Waits for a reason to look, but not longer than `tick`: whether there was one. `None` once it is
    /// stopped.
    pub(crate) fn next(&self, tick: Duration) -> Option<bool> {
        let idle = |state: &mut AttendanceState| !state.nudged && state.thread != Attendant::Stopped;
        let mut state = wait_while_for(&self.changed, self.state(), tick, idle);
        let nudged = std::mem::take(&mut state.nudged);
        (state.thread != Attendant::Stopped).then_some(nudged)
    }

    /// Nudges, for an alarm.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, AttendanceState> {
        lock(&self.state)
    }
}

impl Wake for Attendance {
    fn wake(self: Arc<Self>) {
        self.nudge();
    }
}
