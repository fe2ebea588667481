//! A race with a durable sleep: [`timeout`]. The time that is left is recorded when the race begins, so a restart
//! does not extend it. Where both have ended, the future wins.
//! Knows no clock of its own.

use std::convert::Infallible;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contest::Insides;
use super::{Contestants, Deciding, Turn};
use crate::concurrent::Branch;
use crate::key::Site;
use crate::sleep::sleep_polled;
use crate::store::Kind;

/// The time of a [`timeout`] has passed before its future ended.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// use std::time::Duration;
/// let late = block_on(durable_core::timeout(Duration::from_millis(1), std::future::pending::<()>()));
/// let elapsed = late.unwrap_err();
/// assert_eq!(elapsed.after(), Duration::from_millis(1));
/// assert_eq!(elapsed.to_string(), "it did not end within 1ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("it did not end within {after:?}")]
pub struct Elapsed {
    after: Duration,
}

impl Elapsed {
    /// The time that it was given.
    pub fn after(&self) -> Duration {
        self.after
    }
}

/// Awaits `future`, but not longer than `after`; then it is dropped where it stands.
///
/// In a workflow it takes one position, as a [`race`](crate::race) between `future`, its branch 0, and a durable
/// sleep, its branch 1: when it begins, the time to give up is recorded, and whatever crashes, it stays. How it
/// ended is recorded before it returns. If both have ended by then, `future` wins. A run in the background stays
/// in memory while it waits here.
///
/// A workflow that ended in [`Elapsed`] ends the same when it is called again, as nothing of it failed;
/// [`Engine::rewind`](crate::Engine::rewind) to the timeout (`timeout_3`) gives it its time once more.
///
/// # Errors
/// [`Elapsed`] if `future` did not end in time.
///
/// # Panics
/// With the panic of `future`.
///
/// # Examples
/// ```
/// # use durable_core::doc::block_on;
/// use std::time::Duration;
/// async fn ask() -> u32 {
///     42
/// }
/// assert_eq!(block_on(durable_core::timeout(Duration::from_secs(30), ask())), Ok(42));
/// ```
#[track_caller]
pub fn timeout<T: Future>(after: Duration, future: T) -> Timeout<T> {
    let caller = Location::caller();
    let site = Site { file: caller.file(), line: caller.line() };
    let timed = Timed { future, sleep: Box::pin(sleep_polled(after)), after };
    Timeout(Deciding::new(Kind::Race, "timeout", site, timed))
}

/// The future of [`timeout`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Timeout<T: Future>(Deciding<Timed<T>>);

impl<T: Future> Future for Timeout<T> {
    type Output = Result<T::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future and the sleep that it is to end before.
struct Timed<T> {
    future: T,
    sleep: Sleep,
    after: Duration,
}

/// Their branches.
struct Timing<T: Future> {
    future: Branch<T>,
    sleep: Branch<Sleep>,
    after: Duration,
}

impl<T: Future> Contestants for Timed<T> {
    type Branches = Timing<T>;
    type Decided = Result<T::Output, Elapsed>;
    type All = Infallible;
    type Output = Result<T::Output, Elapsed>;

    fn count(&self) -> usize {
        2
    }

    fn start(self, insides: Insides) -> Timing<T> {
        let (Self { future, sleep, after }, mut insides) = (self, insides.0);
        let future = Branch::new(insides.next().unwrap_or_default(), future);
        Timing { future, sleep: Branch::new(insides.next().unwrap_or_default(), sleep), after }
    }

    fn poll(
        timing: &mut Timing<T>,
        cx: &mut Context<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Turn<Self::Decided, Infallible> {
        let Timing { future, sleep, after } = timing;
        // Before the future has its turn, which may block for long: the time that it has is counted from here.
        sleep.poll(cx);
        if is_stopped() {
            return Turn::Pending;
        }
        future.poll(cx);
        if let Some(ended) = future.take() {
            return Turn::Decided(0, ended.map(Ok));
        }
        match sleep.take() {
            Some(ended) => Turn::Decided(1, ended.map(|()| Err(Elapsed { after: *after }))),
            None => Turn::Pending,
        }
    }

    fn keep(timing: &mut Timing<T>, winner: u32) {
        if winner == 0 {
            timing.sleep.lose();
        } else {
            timing.future.lose();
        }
    }

    fn is_failure(_: &Self::Decided) -> bool {
        false
    }

    fn decided(decided: Self::Decided) -> Self::Output {
        decided
    }

    fn all(all: Infallible) -> Self::Output {
        match all {}
    }
}
