//! One event that many wait for, threads and futures alike: the end of a run in this process.
//! Once given it stays given. Knows nothing of what it stands for.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    given: Condvar,
}

#[derive(Debug, Default)]
struct State {
    given: bool,
    wakers: Vec<Waker>,
}

impl Signal {
    /// Wakes all that wait, and all that will.
    pub(crate) fn give(&self) {
        let wakers = {
            let mut state = self.lock();
            state.given = true;
            std::mem::take(&mut state.wakers)
        };
        self.given.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Blocks this thread until the signal is given.
    pub(crate) fn wait(&self) {
        let state = self.lock();
        drop(self.given.wait_while(state, |state| !state.given).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready once the signal is given.
pub(crate) struct Given(pub(crate) Arc<Signal>);

impl Future for Given {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.given {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
