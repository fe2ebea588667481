//! Races between futures: [`race`], `race!`, `select!` and [`timeout`]; and [`try_join_all`] and `try_join!`, which
//! the first error decides; and [`unordered`], which gives out what ends next. Under any executor.
//! That a branch has decided is recorded at the position of the race before anybody hears of it; then the others
//! are dropped where they stand, and a replay polls the one that is recorded alone.
//! Knows no executor and no store.

mod contest;
mod many;
mod timeout;
mod trying;
mod tuple;
mod unordered;

use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use self::contest::{Contest, Insides};
use self::many::Runners;
use crate::fork::Panic;
use crate::key::Site;
use crate::store::{Kind, StepStatus};

pub use self::timeout::{Elapsed, Timeout, timeout};
pub use self::trying::{TryJoinAll, try_join_all, try_join_tuple};
pub use self::tuple::{Won, race_tuple};
pub use self::unordered::{Next, Unordered, unordered};

/// Branches of which one can decide for all.
pub trait Contestants {
    /// The branches, under way.
    type Branches;
    /// What the branch gives that decides.
    type Decided;
    /// What all of them give, if none decides.
    type All;
    /// What the construct returns.
    type Output;

    /// How many there are.
    fn count(&self) -> usize;

    /// Gives each future its branch.
    fn start(self, insides: Insides) -> Self::Branches;

    /// Polls those that are due, until one decides or the run is stopped.
    fn poll(
        branches: &mut Self::Branches,
        cx: &mut Context<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Turn<Self::Decided, Self::All>;

    /// Drops all but this one.
    fn keep(branches: &mut Self::Branches, winner: u32);

    /// Whether what decided is a failure.
    fn is_failure(decided: &Self::Decided) -> bool;

    /// What the construct returns for the branch that decided.
    fn decided(decided: Self::Decided) -> Self::Output;

    /// What the construct returns if none did.
    fn all(all: Self::All) -> Self::Output;
}

/// What a poll of the branches came to.
pub enum Turn<D, A> {
    /// They go on.
    Pending,
    /// This branch has decided.
    Decided(u32, Result<D, Panic>),
    /// All have ended, and none has decided. `None`: those that are left.
    All(Option<A>),
}

/// The future of a construct that one branch can decide.
struct Deciding<C: Contestants> {
    contest: Contest,
    waiting: Option<C>,
    branches: Option<C::Branches>,
    decided: Option<(u32, Result<C::Decided, Panic>)>,
}

// Nothing in it is pinned in place: each branch is pinned in a box of its own.
impl<C: Contestants> Unpin for Deciding<C> {}

impl<C: Contestants> Deciding<C> {
    fn new(kind: Kind, name: &'static str, site: Site, contestants: C) -> Self {
        let contest = Contest::new(kind, name, site);
        Self { contest, waiting: Some(contestants), branches: None, decided: None }
    }
}

impl<C: Contestants> Future for Deciding<C> {
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let Self { contest, waiting, branches, decided } = self.get_mut();
        if let Some(contestants) = waiting.take() {
            let count = u32::try_from(contestants.count()).unwrap_or(u32::MAX);
            let decided = match contest.begin(count) {
                Ok(decided) => decided,
                Err((run, fault)) => return run.suspend(cx, fault),
            };
            let running = branches.insert(contestants.start(contest.insides(count)));
            if let Some(winner) = decided {
                C::keep(running, winner);
            }
        }
        if let Err((run, fault)) = contest.check() {
            return run.suspend(cx, fault);
        }
        let Some(running) = branches else { return Poll::Pending };
        if decided.is_none() {
            let turn = C::poll(running, cx, &|| contest.fault().is_some());
            if let Some((run, fault)) = contest.fault() {
                return run.suspend(cx, fault);
            }
            let ended = match turn {
                Turn::Pending => return Poll::Pending,
                Turn::All(all) => contest.end().map(|()| all),
                Turn::Decided(winner, ended) => {
                    let is_failure = ended.as_ref().map_or(true, C::is_failure);
                    let status = if is_failure { StepStatus::Failed } else { StepStatus::Completed };
                    let has_panicked = ended.is_err();
                    *decided = Some((winner, ended));
                    contest.decide(winner, status, has_panicked).map(|()| None)
                }
            };
            match ended {
                Ok(None) => {}
                Ok(Some(all)) => {
                    *branches = None;
                    return Poll::Ready(C::all(all));
                }
                Err((run, fault)) => return run.suspend(cx, fault),
            }
        }
        let Some((winner, _)) = decided else { return Poll::Pending };
        if let Err((run, fault)) = ready!(contest.settle(cx, *winner)) {
            return run.suspend(cx, fault);
        }
        // After the record: until then a crash could have let another one win.
        *branches = None;
        match decided.take() {
            Some((_, Ok(decided))) => Poll::Ready(C::decided(decided)),
            Some((_, Err(panic))) => resume_unwind(panic),
            None => Poll::Pending,
        }
    }
}

/// Runs all `futures` at once and returns what the first of them returns that ends; the others are dropped where
/// they stand.
///
/// In a workflow it takes one position, and future `i` is branch `i` of it. Which branch has won is recorded
/// there before the race returns. A replay polls that one alone; what is recorded of the others stays, and is not
/// looked at. If the process dies before the decision is recorded, all go on from what is recorded of them, and
/// any of them may win. Where several have ended, the lowest one wins.
///
/// A step of a loser that was under way may have had its effect, and may have been recorded. What a loser has
/// received waits again, for [`recv`](crate::recv) after the race. A run of its own that a loser waited for
/// (`name::run_durable`) is given up where it stands, as if its future was dropped: another call of it or
/// [`Engine::recover`](crate::Engine::recover) goes on with it, [`Engine::cancel`](crate::Engine::cancel) ends it.
///
/// A run in the background stays in memory while it races.
///
/// If the winner's last step failed and the workflow ends in an error with nothing recorded after the race, the
/// race is decided anew when the run is resumed: the failed step runs again, and all else goes on.
///
/// # Panics
/// If there are no futures; with the panic of the branch that ended first, if it did in a panic.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// let answer = |n: u64| async move {
///     durable_core::future::sleep(std::time::Duration::from_millis(n)).await;
///     n
/// };
/// assert_eq!(block_on(durable_core::race([answer(60_000), answer(1)])), 1);
/// ```
#[track_caller]
pub fn race<I>(futures: I) -> Race<I::Item>
where
    I: IntoIterator<Item: Future>,
{
    let caller = Location::caller();
    let futures: Vec<_> = futures.into_iter().collect();
    assert!(!futures.is_empty(), "a race of no futures would never end");
    let site = Site { file: caller.file(), line: caller.line() };
    Race(Deciding::new(Kind::Race, "race", site, Runners(futures)))
}

/// The future of [`race`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Race<T: Future>(Deciding<Runners<T>>);

impl<T: Future> Future for Race<T> {
    type Output = T::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}
