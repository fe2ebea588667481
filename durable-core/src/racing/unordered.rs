//! Branches that come out in the order in which they end: [`unordered`]. Which one comes next is recorded at the
//! position of the call that asks, so that what the workflow does between two of them has positions of its own.
//! The stream itself has a position, below which its branches stand, and is not under way between two calls.
//! Knows no executor and no store.

use std::collections::VecDeque;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};

use super::contest::{Contest, Fault};
use crate::concurrent::Branch;
use crate::concurrent::ready::{Ready, Woken};
use crate::error::Overlap;
use crate::fork::{Home, Panic};
use crate::key::Site;
use crate::run::{Ambient, Run};
use crate::scope::{Scope, UNORDERED};
use crate::store::StepStatus;

/// Runs `futures` at once, at most `limit` of them (0 counts as 1), and gives out what they return in the order in
/// which they end, by [`Unordered::next`].
///
/// In a workflow it takes one position, where it is called, and future `i` is branch `i` of it. Each
/// [`next`](Unordered::next) takes a position where that is called, and records there which branch came next
/// before it gives that out, so a replay gives them out in the same order. Between two calls the workflow can do
/// whatever it likes; the branches go on while it awaits the next one, as nobody polls them otherwise. A
/// workflow in the background stays in memory while it has a stream.
///
/// A stream that is dropped before all have come out drops the others where they stand, as a
/// [`race`](crate::race) does.
/// What such a branch has received by then ([`recv`](crate::recv)) stays received, so receive in the workflow itself, or
/// wait until all have come out: that a stream was dropped is not recorded, and a run that failed and is tried again may
/// ask it for that branch after all.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// # use std::time::Duration;
/// async fn after(millis: u64) -> u64 {
///     durable_core::future::sleep(Duration::from_millis(millis)).await;
///     millis
/// }
/// # block_on(async {
/// let (mut stream, mut indices) = (durable_core::unordered([after(60), after(1)], 8), vec![]);
/// while let Some((index, _)) = stream.next().await {
///     indices.push(index);
/// }
/// assert_eq!(indices, [1, 0]);
/// # });
/// ```
#[track_caller]
pub fn unordered<I>(futures: I, limit: usize) -> Unordered<I::Item>
where
    I: IntoIterator<Item: Future>,
{
    let caller = Location::caller();
    let site = Site { file: caller.file(), line: caller.line() };
    let slots: Vec<_> = futures.into_iter().map(Slot::Waiting).collect();
    let home = Home::begin(UNORDERED, site).unwrap_or_else(|(run, fault)| run.unwind(fault));
    Unordered {
        home,
        site,
        limit: limit.max(1),
        left: slots.len(),
        slots,
        first_waiting: 0,
        running: 0,
        ready: Arc::default(),
        due: VecDeque::new(),
        ended: VecDeque::new(),
    }
}

/// What [`unordered`] gives out.
#[must_use = "its futures do nothing unless they are asked for with `next`"]
pub struct Unordered<T: Future> {
    home: Home,
    site: Site,
    limit: usize,
    slots: Vec<Slot<T>>,
    /// How many have not come out.
    left: usize,
    /// No slot before this one waits.
    first_waiting: usize,
    running: usize,
    ready: Arc<Ready>,
    /// Those that were woken.
    due: VecDeque<usize>,
    /// Those that have ended and have not come out, in the order in which they ended.
    ended: VecDeque<usize>,
}

enum Slot<T: Future> {
    Waiting(T),
    Begun(Branch<T>, Arc<Woken>, Option<Arc<Scope>>),
    Out,
}

// Nothing in it is pinned in place: each branch is pinned in a box of its own.
impl<T: Future> Unpin for Unordered<T> {}

impl<T: Future> Unordered<T> {
    /// What ended next, and its index in the futures that were given; `None` once all have come out.
    ///
    /// In a workflow it takes a position, unless it gives `None`. Dropped before it is ready it gives nothing
    /// away: the next call gives that out. So it may stand in a [`timeout`](crate::timeout).
    ///
    /// # Panics
    /// With the panic of the branch that comes next, if it ended in one.
    #[expect(clippy::should_implement_trait, reason = "it is the word for this, and gives a future")]
    pub fn next(&mut self) -> Next<'_, T> {
        let of = self.home.place().map(|place| place.position.clone());
        Next { contest: Contest::of(of, self.site), stream: self, stage: Stage::New }
    }

    fn run(&self) -> Option<&Arc<Run>> {
        self.home.place().map(|place| &place.scope.run)
    }

    /// Begins the branch `index`, unless it has begun.
    fn begin(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| matches!(slot, Slot::Waiting(_))) else {
            return;
        };
        let Slot::Waiting(future) = std::mem::replace(slot, Slot::Out) else { return };
        let inside = self.home.branch(u32::try_from(index).unwrap_or(u32::MAX));
        let scope = match &inside {
            Ambient::Inside(scope) => self.home.place().map(|_| Arc::clone(scope)),
            _ => None,
        };
        *slot = Slot::Begun(Branch::new(inside, future), Woken::new(index, &self.ready), scope);
        self.running += 1;
    }

    /// Polls the branch `index`, if it has begun and not ended.
    fn poll_branch(&mut self, index: usize) {
        let Some(Slot::Begun(branch, woken, _)) = self.slots.get_mut(index) else { return };
        // Together with the swap in `wake`: what was done before a wake-up that is left out is seen by this poll.
        woken.is_queued.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(woken));
        if branch.is_running() && branch.poll(&mut Context::from_waker(&waker)) {
            self.running -= 1;
            self.ended.push_back(index);
        }
    }

    /// Begins as many as may run, and polls those that were woken.
    fn poll_all(&mut self, cx: &mut Context<'_>) {
        self.due.extend(self.ready.take(cx.waker()));
        let is_stopped = |stream: &Self| stream.run().is_some_and(|run| run.fault().is_some());
        loop {
            while self.running < self.limit && self.first_waiting < self.slots.len() && !is_stopped(self) {
                let index = self.first_waiting;
                self.first_waiting += 1;
                if matches!(self.slots[index], Slot::Waiting(_)) {
                    self.begin(index);
                    self.due.push_back(index);
                }
            }
            let Some(index) = self.due.pop_front().filter(|_| !is_stopped(self)) else { break };
            self.poll_branch(index);
        }
    }

    /// Polls this branch alone, which is recorded to come next. Whether it has ended.
    fn poll_one(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        self.due.extend(self.ready.take(cx.waker()));
        self.begin(index);
        self.poll_branch(index);
        self.ended.contains(&index)
    }

    fn has_panicked(&self, index: usize) -> bool {
        matches!(self.slots.get(index), Some(Slot::Begun(branch, ..)) if branch.has_panicked())
    }

    /// That no operation was left in the branch `index`, which has ended, unless it panicked.
    fn check_ended(&self, index: usize) -> Result<(), Fault> {
        let Some(Slot::Begun(branch, _, Some(scope))) = self.slots.get(index) else { return Ok(()) };
        match self.home.place().filter(|_| !branch.has_panicked()) {
            Some(place) => scope.check_ended(&place.what).map_err(|fault| (Arc::clone(&scope.run), fault)),
            None => Ok(()),
        }
    }

    /// Gives out the branch `index`, which has ended.
    fn take(&mut self, index: usize) -> Option<Result<T::Output, Panic>> {
        self.ended.retain(|ended| *ended != index);
        let Slot::Begun(mut branch, ..) = std::mem::replace(&mut self.slots[index], Slot::Out) else {
            return None;
        };
        self.left -= 1;
        branch.take()
    }
}

impl<T: Future> Drop for Unordered<T> {
    /// Those that have not come out have lost: what they call now is no part of the run, and what is recorded of
    /// them is not left over.
    fn drop(&mut self) {
        let Some(place) = self.home.place() else { return };
        for slot in &self.slots {
            if let Slot::Begun(_, _, Some(scope)) = slot {
                scope.abandon();
            }
        }
        let is_out = |branch: u32| matches!(self.slots.get(branch as usize), Some(Slot::Out));
        place.scope.run.history.pass_over(place.position.path(), is_out);
    }
}

/// The future of [`Unordered::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'s, T: Future> {
    contest: Contest,
    stream: &'s mut Unordered<T>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    New,
    /// This branch is recorded to come next.
    Recorded(usize),
    /// Whichever ends next comes next.
    Open,
    /// This one comes next, once that is recorded.
    Known(usize),
    Done,
}

impl<T: Future> Unpin for Next<'_, T> {}

impl<T: Future> Future for Next<'_, T> {
    type Output = Option<(usize, T::Output)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if matches!(this.stage, Stage::New) && this.stream.left == 0 {
            return Poll::Ready(None);
        }
        let index = match ready!(this.settle(cx)) {
            Ok(index) => index,
            Err((run, fault)) => return run.suspend(cx, fault),
        };
        this.stage = Stage::Done;
        match this.stream.take(index) {
            Some(Ok(value)) => Poll::Ready(Some((index, value))),
            Some(Err(panic)) => resume_unwind(panic),
            None => Poll::Pending,
        }
    }
}

impl<T: Future> Next<'_, T> {
    /// Ready with the branch that comes next, once that is recorded.
    fn settle(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Fault>> {
        if matches!(self.stage, Stage::New) {
            self.begin()?;
        }
        self.contest.check()?;
        let stream = &mut *self.stream;
        let ended = match self.stage {
            Stage::Recorded(index) => stream.poll_one(cx, index).then_some(index),
            Stage::Open => {
                stream.poll_all(cx);
                stream.ended.front().copied()
            }
            Stage::Known(index) => Some(index),
            Stage::New | Stage::Done => None,
        };
        self.contest.fault().map_or(Ok(()), Err)?;
        let Some(index) = ended else { return Poll::Pending };
        let winner = u32::try_from(index).unwrap_or(u32::MAX);
        if !matches!(self.stage, Stage::Known(_)) {
            self.stage = Stage::Known(index);
            let has_panicked = stream.has_panicked(index);
            stream.check_ended(index)?;
            let status = if has_panicked { StepStatus::Failed } else { StepStatus::Completed };
            self.contest.decide(winner, status, has_panicked)?;
        }
        if let Poll::Ready(settled) = self.contest.settle(cx, winner) {
            return Poll::Ready(settled.map(|()| index));
        }
        // The others need not wait for the store.
        stream.poll_all(cx);
        match self.contest.fault() {
            Some(fault) => Poll::Ready(Err(fault)),
            None => Poll::Pending,
        }
    }

    /// Takes the position, and looks for what is recorded there. A stream belongs to the run that it was made in.
    fn begin(&mut self) -> Result<(), Fault> {
        let count = u32::try_from(self.stream.slots.len()).unwrap_or(u32::MAX);
        let recorded = self.contest.begin(count)?;
        self.stage = recorded.map_or(Stage::Open, |branch| Stage::Recorded(branch as usize));
        let (own, here) = (self.stream.run(), self.contest.run());
        if own.map(Arc::as_ptr) == here.map(Arc::as_ptr) {
            return Ok(());
        }
        let fault = self.stream.home.place().map(|place| {
            (Arc::clone(&place.scope.run), place.scope.unstructured(&place.what, &place.what, Overlap::Moved))
        });
        fault.or_else(|| self.contest.moved()).map_or(Ok(()), Err)
    }
}
