//! Futures that all have to succeed: [`try_join_all`] and the tuples behind `try_join!`. The first error decides,
//! and a panic is one; where all succeed, there is nothing to record.
//! Knows no position and no store.

use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::contest::Insides;
use super::{Contestants, Deciding, Turn, Won};
use crate::concurrent::Branch;
use crate::concurrent::ready::{Ready, Woken};
use crate::fork::Panic;
use crate::key::Site;
use crate::run::Ambient;
use crate::store::Kind;

/// The name of the construct, whether its futures are of one type or not.
const TRY_JOIN: &str = "try_join";

/// Runs all `futures` at once and returns what they return, in their order, or the first error that one of them
/// ends in; then the others are dropped where they stand.
///
/// In a workflow it takes one position, and future `i` is branch `i` of it. Which branch failed first is
/// recorded there before it returns; then a replay polls that one alone. What becomes of the others is as in a
/// [`race`](crate::race). Where all succeed, nothing is recorded besides their steps.
///
/// # Errors
/// The first error, by the time at which it came; where several branches have failed, the lowest of them.
///
/// # Panics
/// With the panic of the branch that failed first, if it did in a panic.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// async fn half(n: u32) -> Result<u32, String> {
///     if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) }
/// }
/// assert_eq!(block_on(durable_core::future::try_join_all([2, 4].map(half))), Ok(vec![1, 2]));
/// assert_eq!(block_on(durable_core::future::try_join_all([2, 3].map(half))), Err("3 is odd".into()));
/// ```
#[track_caller]
pub fn try_join_all<I, R, E>(futures: I) -> TryJoinAll<I::Item, R, E>
where
    I: IntoIterator<Item: Future<Output = Result<R, E>>>,
{
    let caller = Location::caller();
    let site = Site { file: caller.file(), line: caller.line() };
    let futures: Vec<_> = futures.into_iter().collect();
    TryJoinAll(Deciding::new(Kind::TryJoin, TRY_JOIN, site, TryMany(futures)))
}

/// The future of [`try_join_all`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct TryJoinAll<T: Future<Output = Result<R, E>>, R, E>(Deciding<TryMany<T>>);

impl<T: Future<Output = Result<R, E>>, R, E> Future for TryJoinAll<T, R, E> {
    type Output = Result<Vec<R>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Joins the futures of a tuple, as `durable::try_join!` written at `site` does.
pub fn try_join_tuple<T>(site: Site, futures: T) -> impl Future<Output = <Trying<T> as Contestants>::Output>
where
    Trying<T>: Contestants,
{
    Deciding::new(Kind::TryJoin, TRY_JOIN, site, Trying(futures))
}

/// A branch, and what it returned if it has succeeded.
pub struct Attempt<F: Future, R> {
    branch: Branch<F>,
    value: Option<R>,
}

impl<F: Future<Output = Result<R, E>>, R, E> Attempt<F, R> {
    fn new(inside: Option<Ambient>, future: F) -> Self {
        Self { branch: Branch::new(inside.unwrap_or_default(), future), value: None }
    }

    /// Polls the branch if it is running. Its error or its panic, if it has ended in one now.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<Result<E, Panic>> {
        self.branch.poll(cx);
        match self.branch.take()? {
            Ok(Ok(value)) => {
                self.value = Some(value);
                None
            }
            Ok(Err(error)) => Some(Ok(error)),
            Err(panic) => Some(Err(panic)),
        }
    }
}

/// Any number of futures of one type.
struct TryMany<T>(Vec<T>);

/// Their branches.
struct Running<T: Future, R> {
    attempts: Vec<(Attempt<T, R>, Arc<Woken>)>,
    ready: Arc<Ready>,
    /// How many have not ended.
    left: usize,
    /// Whether each was polled once.
    begun: bool,
}

impl<T: Future<Output = Result<R, E>>, R, E> Contestants for TryMany<T> {
    type Branches = Running<T, R>;
    type Decided = E;
    type All = Vec<R>;
    type Output = Result<Vec<R>, E>;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn start(self, insides: Insides) -> Running<T, R> {
        let ready: Arc<Ready> = Arc::default();
        let futures = self.0.into_iter().zip(insides.0).enumerate();
        let attempts =
            futures.map(|(i, (future, inside))| (Attempt::new(Some(inside), future), Woken::new(i, &ready)));
        let attempts: Vec<_> = attempts.collect();
        Running { left: attempts.len(), attempts, ready, begun: false }
    }

    fn poll(
        running: &mut Running<T, R>,
        cx: &mut Context<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Turn<E, Vec<R>> {
        let Running { attempts, ready, left, begun } = running;
        let mut due = ready.take(cx.waker());
        if !std::mem::replace(begun, true) {
            due = (0..attempts.len()).collect();
        }
        for index in due {
            if is_stopped() {
                return Turn::Pending;
            }
            let (attempt, woken) = &mut attempts[index];
            // Together with the swap in `wake`: what was done before a wake-up that is left out is seen by this poll.
            woken.is_queued.swap(false, Ordering::AcqRel);
            let waker = Waker::from(Arc::clone(woken));
            let was_running = attempt.branch.is_running();
            if let Some(failed) = attempt.poll(&mut Context::from_waker(&waker)) {
                return Turn::Decided(u32::try_from(index).unwrap_or(u32::MAX), failed);
            }
            *left -= usize::from(was_running && !attempt.branch.is_running());
        }
        if *left > 0 {
            return Turn::Pending;
        }
        Turn::All(attempts.iter_mut().map(|(attempt, _)| attempt.value.take()).collect())
    }

    fn keep(running: &mut Running<T, R>, winner: u32) {
        for (_, (attempt, _)) in (0..).zip(&mut running.attempts).filter(|(index, _)| *index != winner) {
            attempt.branch.lose();
        }
        running.left = 1;
    }

    fn is_failure(_: &E) -> bool {
        true
    }

    fn decided(error: E) -> Self::Output {
        Err(error)
    }

    fn all(values: Vec<R>) -> Self::Output {
        Ok(values)
    }
}

/// A tuple of 1 to 12 futures that return a `Result`. Its error comes under the letter of its branch.
pub struct Trying<T>(T);

macro_rules! tuple {
    ($count:literal $(, $F:ident $R:ident $E:ident $f:ident $i:literal)+) => {
        impl<$($F: Future<Output = Result<$R, $E>>, $R, $E),+> Contestants for Trying<($($F,)+)> {
            type Branches = ($(Attempt<$F, $R>,)+);
            type Decided = Won<$($E),+>;
            type All = ($($R,)+);
            type Output = Result<($($R,)+), Self::Decided>;

            fn count(&self) -> usize {
                $count
            }

            fn start(self, insides: Insides) -> Self::Branches {
                let (($($f,)+), mut insides) = (self.0, insides.0);
                ($(Attempt::new(insides.next(), $f),)+)
            }

            fn poll(
                attempts: &mut Self::Branches,
                cx: &mut Context<'_>,
                is_stopped: &dyn Fn() -> bool,
            ) -> Turn<Self::Decided, Self::All> {
                let ($($f,)+) = attempts;
                $(
                    if is_stopped() {
                        return Turn::Pending;
                    }
                    if let Some(failed) = $f.poll(cx) {
                        return Turn::Decided($i, failed.map(Won::$F));
                    }
                )+
                if $($f.branch.is_running())||+ {
                    return Turn::Pending;
                }
                let mut values = || Some(($($f.value.take()?,)+));
                Turn::All(values())
            }

            fn keep(attempts: &mut Self::Branches, winner: u32) {
                let ($($f,)+) = attempts;
                $(if winner != $i { $f.branch.lose(); })+
            }

            fn is_failure(_: &Self::Decided) -> bool {
                true
            }

            fn decided(error: Self::Decided) -> Self::Output {
                Err(error)
            }

            fn all(values: Self::All) -> Self::Output {
                Ok(values)
            }
        }
    };
}

tuple!(1, A RA EA a 0);
tuple!(2, A RA EA a 0, B RB EB b 1);
tuple!(3, A RA EA a 0, B RB EB b 1, C RC EC c 2);
tuple!(4, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3);
tuple!(5, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4);
tuple!(6, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4, F RF EF f 5);
tuple!(7, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4, F RF EF f 5, G RG EG g 6);
tuple!(
    8, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4,
    F RF EF f 5, G RG EG g 6, H RH EH h 7
);
tuple!(
    9, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4,
    F RF EF f 5, G RG EG g 6, H RH EH h 7, I RI EI i 8
);
tuple!(
    10, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4,
    F RF EF f 5, G RG EG g 6, H RH EH h 7, I RI EI i 8, J RJ EJ j 9
);
tuple!(
    11, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4,
    F RF EF f 5, G RG EG g 6, H RH EH h 7, I RI EI i 8, J RJ EJ j 9,
    K RK EK k 10
);
tuple!(
    12, A RA EA a 0, B RB EB b 1, C RC EC c 2, D RD ED d 3, E RE EE e 4,
    F RF EF f 5, G RG EG g 6, H RH EH h 7, I RI EI i 8, J RJ EJ j 9,
    K RK EK k 10, L RL EL l 11
);
