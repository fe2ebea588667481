//! Any number of branches of one kind that race: each poll only touches those that were woken.
//! Knows no position and no store.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use super::contest::Insides;
use super::{Contestants, Turn};
use crate::concurrent::Branch;
use crate::concurrent::ready::{Ready, Woken};

/// Futures with one output, the first of which to end decides.
pub(super) struct Runners<T>(pub(super) Vec<T>);

/// Their branches.
pub(super) struct Running<T: Future> {
    branches: Vec<(Branch<T>, Arc<Woken>)>,
    ready: Arc<Ready>,
    /// Whether each was polled once.
    begun: bool,
}

impl<T: Future> Contestants for Runners<T> {
    type Branches = Running<T>;
    type Decided = T::Output;
    type All = Infallible;
    type Output = T::Output;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn start(self, insides: Insides) -> Running<T> {
        let ready: Arc<Ready> = Arc::default();
        let futures = self.0.into_iter().zip(insides.0).enumerate();
        let branches =
            futures.map(|(i, (future, inside))| (Branch::new(inside, future), Woken::new(i, &ready)));
        Running { branches: branches.collect(), ready, begun: false }
    }

    fn poll(
        running: &mut Running<T>,
        cx: &mut Context<'_>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Turn<T::Output, Infallible> {
        let Running { branches, ready, begun } = running;
        // Those that are woken from now on have their turn at the next poll: a branch that wakes itself must
        // let others go on.
        let mut due = ready.take(cx.waker());
        if !std::mem::replace(begun, true) {
            due = (0..branches.len()).collect();
        }
        for index in due {
            if is_stopped() {
                return Turn::Pending;
            }
            let (branch, woken) = &mut branches[index];
            // Together with the swap in `wake`: what was done before a wake-up that is left out is seen by this poll.
            woken.is_queued.swap(false, Ordering::AcqRel);
            let waker = Waker::from(Arc::clone(woken));
            branch.poll(&mut Context::from_waker(&waker));
            if let Some(ended) = branch.take() {
                return Turn::Decided(u32::try_from(index).unwrap_or(u32::MAX), ended);
            }
        }
        Turn::Pending
    }

    fn keep(running: &mut Running<T>, winner: u32) {
        for (_, (branch, _)) in (0..).zip(&mut running.branches).filter(|(index, _)| *index != winner) {
            branch.lose();
        }
    }

    fn is_failure(_: &T::Output) -> bool {
        false
    }

    fn decided(decided: T::Output) -> T::Output {
        decided
    }

    fn all(all: Infallible) -> T::Output {
        match all {}
    }
}
