//! Branches that are futures: `join!`, [`join_all`] and [`map`], under any executor.
//! The construct takes its position at its first poll. All branches run to their end; then the panic of the
//! lowest one goes on. A fault of the run outranks it: nothing is polled any more.
//! Knows no executor and no store.

pub(crate) mod ready;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use self::ready::{Ready, Woken};
use crate::error::Error;
use crate::fork::{Fork, Panic, is_own};
use crate::key::Site;
use crate::run::{Ambient, Run};
use crate::scope::MAP;
use crate::sync::atomic::Ordering;

/// One branch: its future, and the context that each of its polls runs in.
pub struct Branch<F: Future> {
    inside: Ambient,
    state: State<F>,
}

enum State<F: Future> {
    Running(Pin<Box<F>>),
    Ended(Result<F::Output, Panic>),
    Taken,
}

impl<F: Future> Branch<F> {
    pub(crate) fn new(inside: Ambient, future: F) -> Self {
        Self { inside, state: State::Running(Box::pin(future)) }
    }

    /// The branch whose future `start` makes within it; a panic there is the branch's.
    fn start(inside: Ambient, start: impl FnOnce() -> F) -> Self {
        let started = {
            let _inside = inside.clone().enter();
            catch_unwind(AssertUnwindSafe(start))
        };
        let state = match started {
            Ok(future) => State::Running(Box::pin(future)),
            Err(panic) => State::Ended(Err(panic)),
        };
        Self { inside, state }
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    pub(crate) fn has_panicked(&self) -> bool {
        matches!(&self.state, State::Ended(Err(panic)) if is_own(panic))
    }

    /// Polls the branch if it is running; whether it has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let State::Running(future) = &mut self.state else { return true };
        let _inside = self.inside.clone().enter();
        let ended = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        self.state = State::Ended(ended);
        true
    }

    /// What the branch returned; `None` while it runs, and once it was taken.
    pub(crate) fn take(&mut self) -> Option<Result<F::Output, Panic>> {
        match &self.state {
            State::Ended(_) => match std::mem::replace(&mut self.state, State::Taken) {
                State::Ended(output) => Some(output),
                State::Running(_) | State::Taken => None,
            },
            State::Running(_) | State::Taken => None,
        }
    }

    /// Ends the branch where it stands.
    pub(crate) fn lose(&mut self) {
        let _inside = self.inside.clone().enter();
        self.state = State::Taken;
    }

    /// What the branch returned; `None` while it runs.
    fn output(mut self) -> Option<Result<F::Output, Panic>> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Ended(output) => Some(output),
            State::Running(_) | State::Taken => None,
        }
    }
}

impl<F: Future> Drop for Branch<F> {
    /// What the future's locals do when they are dropped belongs to the branch.
    fn drop(&mut self) {
        self.lose();
    }
}

/// Runs all `futures` at once and returns what they return, in their order.
///
/// In a workflow it takes one position, and future `i` is branch `i` of it. Elsewhere it only runs them.
///
/// # Panics
/// Once all have ended, with the panic of the lowest branch that panicked.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// async fn square(n: u32) -> u32 {
///     n * n
/// }
/// let squares = block_on(durable_core::future::join_all((1..=3).map(square)));
/// assert_eq!(squares, [1, 4, 9]);
/// ```
#[track_caller]
pub fn join_all<I>(futures: I) -> JoinAll<I::Item>
where
    I: IntoIterator<Item: Future>,
{
    let futures: VecDeque<_> = futures.into_iter().collect();
    JoinAll { many: Many::new("join_all", Location::caller(), futures.len()), queue: futures }
}

/// Runs `f` on each item, at most `limit` futures at once (0 counts as 1), and returns what they return in
/// the order of the items.
///
/// In a workflow it takes one position, and item `i` is branch `i` of it. `f` itself is called within that
/// branch.
///
/// # Panics
/// Once all that had started have ended, with the panic of the lowest branch that panicked. After a panic no
/// further item is started.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// let doubled = block_on(durable_core::future::map([1, 2, 3], 2, async |n: u32| n * 2));
/// assert_eq!(doubled, [2, 4, 6]);
/// ```
#[track_caller]
pub fn map<I, F, T>(items: I, limit: usize, f: F) -> Map<I::Item, F, T>
where
    I: IntoIterator,
    F: FnMut(I::Item) -> T,
    T: Future,
{
    let items: VecDeque<_> = items.into_iter().collect();
    Map { many: Many::new(MAP, Location::caller(), limit.max(1)), queue: items, f }
}

/// The future of [`join_all`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct JoinAll<T: Future> {
    many: Many<T>,
    queue: VecDeque<T>,
}

/// The future of [`map`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Map<A, F, T: Future> {
    many: Many<T>,
    queue: VecDeque<A>,
    f: F,
}

// Nothing in them is pinned in place: each branch is pinned in a box of its own.
impl<T: Future> Unpin for JoinAll<T> {}
impl<A, F, T: Future> Unpin for Map<A, F, T> {}

impl<T: Future> Future for JoinAll<T> {
    type Output = Vec<T::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { many, queue } = self.get_mut();
        many.poll(cx, || queue.pop_front(), |future| future)
    }
}

impl<A, F: FnMut(A) -> T, T: Future> Future for Map<A, F, T> {
    type Output = Vec<T::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { many, queue, f } = self.get_mut();
        many.poll(cx, || queue.pop_front(), f)
    }
}

/// Any number of branches of one kind, of which each poll only touches those that were woken.
struct Many<T: Future> {
    name: &'static str,
    site: Site,
    limit: usize,
    fork: Option<Fork>,
    branches: Vec<(Branch<T>, Arc<Woken>)>,
    ready: Arc<Ready>,
    running: usize,
    panicked: bool,
}

impl<T: Future> Many<T> {
    fn new(name: &'static str, caller: &Location<'static>, limit: usize) -> Self {
        let site = Site { file: caller.file(), line: caller.line() };
        Self {
            name,
            site,
            limit,
            fork: None,
            branches: Vec::new(),
            ready: Arc::default(),
            running: 0,
            panicked: false,
        }
    }

    fn poll<A>(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<A>,
        mut start: impl FnMut(A) -> T,
    ) -> Poll<Vec<T::Output>> {
        let fork = match begun(&mut self.fork, self.name, self.site) {
            Ok(fork) => fork,
            Err((run, fault)) => return run.suspend(cx, fault),
        };
        if let Some((run, fault)) = fork.fault() {
            return run.suspend(cx, fault);
        }
        // Those that are woken from now on have their turn at the next poll: a branch that wakes itself must
        // let others go on.
        let mut due = self.ready.take(cx.waker());
        loop {
            while self.running < self.limit && !self.panicked && fork.fault().is_none() {
                let Some(item) = next() else { break };
                let index = self.branches.len();
                let inside = fork.branch(u32::try_from(index).unwrap_or(u32::MAX));
                let branch = Branch::start(inside, || start(item));
                self.running += usize::from(branch.is_running());
                self.panicked |= branch.has_panicked();
                self.branches.push((branch, Woken::new(index, &self.ready)));
                due.push_back(index);
            }
            let Some(index) = due.pop_front() else { break };
            let (branch, woken) = &mut self.branches[index];
            // Together with the swap in `wake`: what was done before a wake-up that is left out is seen by this poll.
            woken.is_queued.swap(false, Ordering::AcqRel);
            let waker = Waker::from(Arc::clone(woken));
            if branch.is_running() && branch.poll(&mut Context::from_waker(&waker)) {
                self.running -= 1;
                self.panicked |= branch.has_panicked();
            }
            if let Some((run, fault)) = fork.fault() {
                return run.suspend(cx, fault);
            }
        }
        if self.running > 0 {
            return Poll::Pending;
        }
        let branches = std::mem::take(&mut self.branches).into_iter();
        end(cx, &mut self.fork, branches.filter_map(|(branch, _)| branch.output()).collect())
    }
}

/// The construct, begun at the first poll.
fn begun<'f>(
    fork: &'f mut Option<Fork>,
    name: &'static str,
    site: Site,
) -> Result<&'f Fork, (Arc<Run>, Error)> {
    match fork {
        Some(fork) => fork.check_here().map(|()| &*fork),
        None => Fork::begin(name, site).map(|begun| &*fork.insert(begun)),
    }
}

/// Ends the construct, all of whose branches have ended: with the panic of the lowest, or with what they
/// returned.
fn end<R>(cx: &mut Context<'_>, begun: &mut Option<Fork>, outputs: Result<R, Panic>) -> Poll<R> {
    if outputs.is_ok()
        && let Some(Err((run, fault))) = begun.as_ref().map(Fork::check_ended)
    {
        return run.suspend(cx, fault);
    }
    if let Some(fork) = begun.take() {
        fork.end();
    }
    Poll::Ready(outputs.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// The future of `durable::join!`: a tuple of futures, each a branch.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Join<B: Tuple> {
    site: Site,
    fork: Option<Fork>,
    futures: Option<B>,
    branches: Option<B::Branches>,
}

impl<B: Tuple> Unpin for Join<B> {}

/// Joins the futures of a tuple, as `durable::join!` written at `site` does.
pub fn join_tuple<B: Tuple>(site: Site, futures: B) -> Join<B> {
    Join { site, fork: None, futures: Some(futures), branches: None }
}

impl<B: Tuple> Future for Join<B> {
    type Output = B::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Output> {
        let Self { site, fork, futures, branches } = self.get_mut();
        let begun = match begun(fork, "join!", *site) {
            Ok(fork) => fork,
            Err((run, fault)) => return run.suspend(cx, fault),
        };
        if let Some(futures) = futures.take() {
            *branches = Some(futures.start(begun));
        }
        let is_stopped = || begun.fault().is_some();
        let all_ended = branches.as_mut().is_none_or(|branches| B::poll(branches, cx, &is_stopped));
        if let Some((run, fault)) = begun.fault() {
            return run.suspend(cx, fault);
        }
        if !all_ended {
            return Poll::Pending;
        }
        match branches.take().and_then(B::outputs) {
            Some(outputs) => end(cx, fork, outputs),
            None => Poll::Pending,
        }
    }
}

/// A tuple of 1 to 12 futures.
pub trait Tuple {
    /// What they return.
    type Output;
    /// Their branches.
    type Branches;

    /// Gives each future its branch of `fork`.
    fn start(self, fork: &Fork) -> Self::Branches;

    /// Polls all that still run, until the run is stopped; whether all have ended.
    fn poll(branches: &mut Self::Branches, cx: &mut Context<'_>, is_stopped: &dyn Fn() -> bool) -> bool;

    /// What they returned, or the panic of the lowest; `None` while one runs.
    fn outputs(branches: Self::Branches) -> Option<Result<Self::Output, Panic>>;
}

macro_rules! tuple {
    ($($F:ident $f:ident $i:literal),+) => {
        impl<$($F: Future),+> Tuple for ($($F,)+) {
            type Output = ($($F::Output,)+);
            type Branches = ($(Branch<$F>,)+);

            fn start(self, fork: &Fork) -> Self::Branches {
                let ($($f,)+) = self;
                ($(Branch::new(fork.branch($i), $f),)+)
            }

            fn poll(branches: &mut Self::Branches, cx: &mut Context<'_>, is_stopped: &dyn Fn() -> bool) -> bool {
                let ($($f,)+) = branches;
                let mut all_ended = true;
                $(all_ended &= !is_stopped() && $f.poll(cx);)+
                all_ended
            }

            fn outputs(branches: Self::Branches) -> Option<Result<Self::Output, Panic>> {
                let ($($f,)+) = branches;
                $(let $f = $f.output()?;)+
                $(let $f = match $f { Ok(output) => output, Err(panic) => return Some(Err(panic)) };)+
                Some(Ok(($($f,)+)))
            }
        }
    };
}

tuple!(A a 0);
tuple!(A a 0, B b 1);
tuple!(A a 0, B b 1, C c 2);
tuple!(A a 0, B b 1, C c 2, D d 3);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9, K k 10);
tuple!(A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9, K k 10, L l 11);
