//! One execution of a workflow. A run that is stopped records nothing any more, but what became of a step that
//! had begun and is not to run again. Hands out no positions.

mod ambient;
mod markers;
mod shielding;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{panic_any, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};

use crate::clock::Timestamp;
use crate::core::{Core, Settings};
use crate::error::Error;
use crate::history::History;
use crate::key::WorkflowId;
use crate::signal::{Given, Signal, block_on};
use crate::store::batch::{Answered, Ticket};
use crate::store::{Act, Answer, Awaits, Effect, Epoch, Op, Record, StepRecord};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard, lock, thread_local};

pub(crate) use self::ambient::{Ambient, StepContext};
use self::markers::Markers;
use self::shielding::Shields;

/// One execution of a workflow id.
pub(crate) struct Run {
    pub(crate) id: WorkflowId,
    pub(crate) core: Arc<Core>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: u64,
    pub(crate) seed: u64,
    pub(crate) started: Timestamp,
    pub(crate) history: Arc<History>,
    pub(crate) mode: Mode,
    /// Whether nobody calls for it: it can be unloaded from memory while it waits.
    pub(crate) in_background: bool,
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
    pub(crate) started: Timestamp,
    pub(crate) history: Arc<History>,
    pub(crate) in_background: bool,
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
        let Seat { id, epoch, nonce, seed, started, history, in_background } = seat;
        LIVE.fetch_add(1, Ordering::Relaxed);
        STRICT.fetch_add(usize::from(settings.strict), Ordering::Relaxed);
        Arc::new(Self {
            id,
            core,
            settings,
            epoch,
            nonce,
            seed,
            started,
            history,
            mode,
            in_background,
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
            awaits: OnceLock::new(),
        })
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

    /// Records an outcome, and the markers that it rests on. After an error nothing more of this run is recorded.
    pub(crate) fn record(&self, step: StepRecord, slot: Slot) -> Result<(), Error> {
        let record = self.to_record(step, slot)?;
        let markers = record.markers.clone();
        let answered = self.core.commits.commit(Op::Record(record));
        self.recorded(answered, &markers).unwrap_or_else(|| block_on(self.unless_stopped(pending())))
    }

    /// Hands over the same to be recorded.
    pub(crate) fn submit(&self, step: StepRecord, slot: Slot) -> Result<Submitted, Error> {
        let record = self.to_record(step, slot)?;
        let markers = record.markers.clone();
        Ok(Submitted { ticket: self.core.commits.submit(Op::Record(record)), markers, stops: None })
    }

    /// What came of a record, once the run is stopped if it is to be.
    pub(crate) async fn settled(&self, answered: Answered, markers: &[StepRecord]) -> Result<(), Error> {
        match self.recorded(answered, markers) {
            Some(recorded) => recorded,
            None => self.unless_stopped(pending()).await,
        }
    }

    /// Hands over an outcome to be recorded with what it does.
    pub(crate) fn submit_act(&self, step: StepRecord, effect: Effect) -> Result<Submitted, Error> {
        let record = self.to_record(step, Slot::New)?;
        let markers = record.markers.clone();
        let ticket = self.core.commits.submit(Op::Act(Act { record, effect }));
        Ok(Submitted { ticket, markers, stops: None })
    }

    /// What is recorded with an outcome: the markers that it rests on.
    pub(crate) fn to_record(&self, step: StepRecord, slot: Slot) -> Result<Record, Error> {
        let markers = self.markers.before(&step.position);
        if slot == Slot::New {
            self.check_record(1 + markers.len())?;
        }
        self.core.check_process()?;
        Ok(Record { id: self.id.clone(), step, markers, is_shielded: self.is_shielded() })
    }

    /// That the run may record so many rows more.
    fn check_record(&self, rows: usize) -> Result<(), Error> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        // No record has so many markers as a u32 can count.
        let more = u32::try_from(rows).unwrap_or(u32::MAX);
        let before = self.recorded.fetch_add(more, Ordering::Relaxed) as usize + self.history.len();
        if before + rows > self.settings.steps_max as usize {
            return Err(Error::TooManySteps {
                workflow: self.id.clone(),
                steps_max: self.settings.steps_max,
            });
        }
        Ok(())
    }

    /// What came of a record, and of these markers with it; `None` if the run is stopped for it once the shield of
    /// another branch has ended.
    pub(crate) fn recorded(&self, answered: Answered, markers: &[StepRecord]) -> Option<Result<(), Error>> {
        let fault = match answered {
            Ok(Answer::Done) => {
                self.markers.remove(markers);
                return Some(Ok(()));
            }
            // It was handed over before that branch came to its shield.
            Ok(Answer::Wanted(wanted)) if self.defers(wanted) => return None,
            Ok(Answer::Wanted(wanted)) => Error::wanted(&self.id, wanted),
            Ok(_) => Error::LostOwnership { workflow: self.id.clone() },
            Err(source) => Error::store(&self.id, source),
        };
        // Before anybody else hears of it: a branch that records meanwhile would stand after a gap.
        self.stop(fault.clone());
        Some(Err(fault))
    }
}

/// A record that was handed over.
pub(crate) struct Submitted {
    ticket: Ticket,
    markers: Vec<StepRecord>,
    /// It was refused, and the run will be stopped.
    stops: Option<Given>,
}

impl Submitted {
    /// Ready once it is as durable as the store makes it.
    pub(crate) fn poll(&mut self, run: &Run, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { ticket, markers, stops } = self;
        if stops.is_none() {
            let answered = ready!(Pin::new(ticket).poll(cx));
            if let Some(recorded) = run.recorded(answered, markers) {
                return Poll::Ready(recorded);
            }
        }
        ready!(Pin::new(stops.get_or_insert_with(|| run.stopped())).poll(cx));
        Poll::Ready(run.fault().map_or(Ok(()), |fault| Err(fault.clone())))
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
