//! One execution of a workflow. A run that is stopped records nothing any more, but what became of a step that
//! had begun and is not to run again. Hands out no positions.

mod ambient;
mod check;
mod markers;
mod recording;
mod shielding;

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{panic_any, resume_unwind};
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use crate::clock::Timestamp;
use crate::core::{Core, Settings};
use crate::error::Error;
use crate::failed::StepFailed;
use crate::history::History;
use crate::key::WorkflowId;
use crate::signal::{Given, Signal};
use crate::store::{Awaits, Epoch};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard, lock, thread_local};

pub(crate) use self::ambient::{Ambient, StepContext};
pub(crate) use self::check::{Check, Verdict};
use self::markers::Markers;
pub(crate) use self::recording::Submitted;
use self::shielding::Shields;

/// One execution of a workflow id.
pub(crate) struct Run {
    pub(crate) id: WorkflowId,
    pub(crate) core: Arc<Core>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: u64,
    pub(crate) seed: u64,
    /// That of the source that started it.
    pub(crate) version: Option<u32>,
    pub(crate) started: Timestamp,
    pub(crate) history: Arc<History>,
    pub(crate) mode: Mode,
    /// Whether nobody calls for it: it can be unloaded from memory while it waits.
    pub(crate) in_background: bool,
    /// What is known of it, if it is only checked.
    check: Option<Check>,
    /// The markers that are not recorded yet.
    pub(crate) markers: Markers,
    recorded: AtomicU32,
    fault: OnceLock<Error>,
    abandoned: AtomicBool,
    /// Stopped by the run that it executes in.
    inherited: AtomicBool,
    /// The runs that execute in this one.
    children: Mutex<Vec<Weak<Run>>>,
    stopped: Arc<Signal>,
    /// Why it is to be given up at its next operation.
    leaves: OnceLock<Error>,
    left: Arc<Signal>,
    shields: Mutex<Shields>,
    suspensions: AtomicU32,
    /// The failures that its steps panicked with and would again: at most one for each of them.
    for_good: Mutex<Vec<StepFailed>>,
    /// What it is taken up by, once it is unloaded.
    awaits: OnceLock<Awaits>,
}

/// So often the operations of a stopped run are polled again before they unwind: then no poll of the run can
/// end, as an executor within it waits for them.
const SUSPENSIONS_MAX: u32 = 10_000;

/// How a run's body is driven, and so how it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By a call: a fault unwinds to the entry point.
    Called,
    /// By polls: a fault leaves the operation pending, and the entry point drops the body after that poll. An
    /// executor within the poll gets an unwinding, as a call does.
    Polled,
}

/// What a new [`Run`] is made of.
pub(crate) struct Seat {
    pub(crate) id: WorkflowId,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: u64,
    pub(crate) seed: u64,
    pub(crate) version: Option<u32>,
    pub(crate) started: Timestamp,
    pub(crate) history: Arc<History>,
    pub(crate) in_background: bool,
    pub(crate) check: Option<Check>,
}

/// Where an outcome goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// To a position of which nothing is recorded.
    New,
    /// In the place of the record that the operation had begun. It leaves no gap, and its effect has happened, so
    /// it goes there whatever has stopped the run meanwhile, as long as the run is still owned.
    Begun,
}

/// The payload of the panic that ends a stopped run. Private, so that nobody mistakes it for a failure.
pub(crate) struct Stopped;

impl Run {
    pub(crate) fn new(core: Arc<Core>, settings: Arc<Settings>, seat: Seat, mode: Mode) -> Arc<Self> {
        let Seat { id, epoch, nonce, seed, version, started, history, in_background, check } = seat;
        LIVE.fetch_add(1, Ordering::Relaxed);
        STRICT.fetch_add(usize::from(settings.strict), Ordering::Relaxed);
        Arc::new(Self {
            id,
            core,
            settings,
            epoch,
            nonce,
            seed,
            version,
            started,
            history,
            mode,
            in_background,
            check,
            markers: Markers::default(),
            recorded: AtomicU32::new(0),
            fault: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            inherited: AtomicBool::new(false),
            children: Mutex::default(),
            stopped: Arc::default(),
            leaves: OnceLock::new(),
            left: Arc::default(),
            shields: Mutex::default(),
            suspensions: AtomicU32::new(0),
            for_good: Mutex::default(),
            awaits: OnceLock::new(),
        })
    }

    /// A step that does not run again panics with `failed`, here and in every other execution.
    pub(crate) fn panics_for_good(&self, failed: &StepFailed) {
        lock(&self.for_good).push(failed.clone());
    }

    /// What it is that a body panicked with `message`: its own panic, or that of a step which does not run again.
    pub(crate) fn panicked(&self, message: &str) -> Error {
        let workflow = self.id.clone();
        match lock(&self.for_good).iter().find(|failed| failed.to_string() == message) {
            Some(failed) => Error::FailedForGood { workflow, failed: Box::new(failed.clone()) },
            None => Error::Panicked { workflow, message: message.to_owned() },
        }
    }

    /// Why the run is stopped, if it is.
    pub(crate) fn fault(&self) -> Option<&Error> {
        self.fault.get()
    }

    /// Stops the run; the first fault is the one that counts. Whoever waits within the run is woken.
    pub(crate) fn stop(&self, fault: Error) {
        _ = self.fault.set(fault);
        self.stopped.give();
        let Some(fault) = self.fault() else { return };
        let children = std::mem::take(&mut *self.children());
        for child in children.iter().filter_map(Weak::upgrade) {
            child.inherit(fault.clone());
        }
    }

    /// Has the run given up at its next operation: what is under way may end and be recorded, a wait ends.
    pub(crate) fn leave(&self, fault: Error) {
        _ = self.leaves.set(fault);
        self.left.give();
    }

    /// Notes what the run is taken up by before its time, if it is unloaded now.
    pub(crate) fn awaits(&self, awaits: Awaits) {
        _ = self.awaits.set(awaits);
    }

    /// What the run is taken up by before its time.
    pub(crate) fn awaited(&self) -> Option<&Awaits> {
        self.awaits.get()
    }

    /// Why no operation may begin any more.
    pub(crate) fn refuses(&self) -> Option<&Error> {
        self.fault().or_else(|| self.leaves())
    }

    /// Why it is to be given up, unless it was asked to end and is to come to the end of a shield before.
    fn leaves(&self) -> Option<&Error> {
        self.leaves.get().filter(|_| !self.stops_after_shield())
    }

    /// Stops `child`, a run that executes in this one, together with this one.
    pub(crate) fn adopt(&self, child: &Arc<Self>) {
        let mut children = self.children();
        children.retain(|other| other.strong_count() > 0);
        children.push(Arc::downgrade(child));
        drop(children);
        // A stop between the two looks stops the child twice, which is once.
        if let Some(fault) = self.fault() {
            child.inherit(fault.clone());
        }
    }

    fn inherit(&self, fault: Error) {
        if self.fault().is_none() {
            self.inherited.store(true, Ordering::Relaxed);
        }
        self.stop(fault);
    }

    /// Whether it was stopped by the run that it executes in: nothing is wrong with itself.
    pub(crate) fn is_stopped_with_parent(&self) -> bool {
        self.inherited.load(Ordering::Relaxed)
    }

    fn children(&self) -> MutexGuard<'_, Vec<Weak<Self>>> {
        lock(&self.children)
    }

    /// Ready once the run is stopped.
    pub(crate) fn stopped(&self) -> Given {
        Given::new(Arc::clone(&self.stopped))
    }

    /// Waits for `future`, but not beyond the end of the run.
    pub(crate) async fn unless_stopped<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let (mut stopped, mut future) = (pin!(self.stopped()), pin!(future));
        poll_fn(|cx| match (stopped.as_mut().poll(cx), self.fault()) {
            (Poll::Ready(()), Some(fault)) => Poll::Ready(Err(fault.clone())),
            _ => future.as_mut().poll(cx).map(Ok),
        })
        .await
    }

    /// Waits for `future`, but not beyond the end of the run, nor when it is to be given up.
    pub(crate) async fn unless_left<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let (mut left, mut future) = (pin!(Given::new(Arc::clone(&self.left))), pin!(future));
        let wait = poll_fn(|cx| match (left.as_mut().poll(cx), self.leaves()) {
            (Poll::Ready(()), Some(fault)) => Poll::Ready(Err(fault.clone())),
            _ => future.as_mut().poll(cx).map(Ok),
        });
        self.unless_stopped(wait).await?
    }

    /// The body is dropped before its end: what its values call then is no part of the run any more.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether the body is being dropped before its end.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Ends this call, and with it the run: unwinds to the entry point, through user code that cannot keep
    /// it.
    pub(crate) fn unwind(&self, fault: Error) -> ! {
        if cfg!(panic = "abort") {
            abort(
                &fault,
                "the program is built with `panic = \"abort\"`, so nothing can unwind to its entry point",
            );
        }
        if std::thread::panicking() {
            abort(
                &fault,
                "a `Drop` called a durable operation while that unwound, and there is no value to give it",
            );
        }
        self.stop(fault);
        UNWINDS.with(|unwinds| unwinds.set(true));
        resume_unwind(Box::new(Stopped))
    }

    /// Whatever unwound this thread is over: an operation begins.
    pub(crate) fn forget_unwinding() {
        UNWINDS.with(|unwinds| unwinds.set(false));
    }

    /// Whether this thread unwinds by a fault, and not by a panic of the user's.
    pub(crate) fn is_unwinding_by_fault() -> bool {
        std::thread::panicking() && UNWINDS.with(Cell::get)
    }

    /// Ends this operation, and with it the run: a polled run is dropped by its entry point after this poll.
    /// Under an executor within that poll it would never end, so whoever polls the operation is woken, and it
    /// unwinds when it is polled again and again.
    #[expect(
        clippy::panic,
        reason = "the task polls what it was never to have, and nothing else would end it"
    )]
    pub(crate) fn suspend<T>(&self, cx: &mut Context<'_>, fault: Error) -> Poll<T> {
        if self.mode == Mode::Called {
            self.unwind(fault);
        }
        let again = self.suspensions.fetch_add(1, Ordering::Relaxed) >= SUSPENSIONS_MAX;
        let is_here = Ambient::current().run().is_some_and(|run| std::ptr::eq(Arc::as_ptr(run), self));
        if again && is_here {
            self.unwind(fault);
        }
        if again {
            // In somebody else's task, which is to be told why it ends.
            panic_any(fault.to_string());
        }
        self.stop(fault);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What an operation of this run comes to; after a fault it never ends.
    pub(crate) async fn or_suspended<T>(&self, operation: impl Future<Output = Result<T, Error>>) -> T {
        let (mut operation, mut fault) = (pin!(operation), None);
        poll_fn(|cx| {
            let fault = match &fault {
                Some(fault) => Error::clone(fault),
                None => match ready!(operation.as_mut().poll(cx)) {
                    Ok(output) => return Poll::Ready(output),
                    Err(new) => fault.insert(new).clone(),
                },
            };
            self.suspend(cx, fault)
        })
        .await
    }

    /// An operation that was suspended is polled again.
    pub(crate) fn suspend_again<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        match self.fault() {
            Some(fault) => self.suspend(cx, fault.clone()),
            None => Poll::Pending,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        STRICT.fetch_sub(usize::from(self.settings.strict), Ordering::Relaxed);
    }
}

/// A fault that can neither unwind nor wait: the program ends, with its reason. What is recorded stays.
#[expect(clippy::print_stderr, reason = "the last words before an abort; there is nobody to return them to")]
fn abort(fault: &Error, why: &str) -> ! {
    eprintln!("durable: {fault}\ndurable: the process aborts, and what is recorded stays: {why}");
    std::process::abort()
}

/// The runs that live in this process, and those whose engine is strict.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static STRICT: AtomicUsize = AtomicUsize::new(0);

/// Whether any run lives in this process.
pub(crate) fn any_live() -> bool {
    LIVE.load(Ordering::Relaxed) > 0
}

/// Whether a run of a strict engine lives in this process.
pub(crate) fn any_strict() -> bool {
    STRICT.load(Ordering::Relaxed) > 0
}

thread_local! {
    /// Whether the last unwinding of this thread began with a fault.
    static UNWINDS: Cell<bool> = const { Cell::new(false) };
}
