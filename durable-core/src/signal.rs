//! One event that many wait for, threads and futures alike: the end of a run in this process, or its stop.
//! Once given it stays given. Knows nothing of what it stands for.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, MutexGuard, lock};

#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    given: bool,
    /// Whom to wake, each under the number of its [`Given`].
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

impl State {
    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Signal {
    /// Wakes all that wait, and all that will.
    pub(crate) fn give(&self) {
        let wakers = {
            let mut state = self.lock();
            state.given = true;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(wake);
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().wakers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Ready once the signal is given. Dropped, it is not woken any more.
pub(crate) struct Given {
    signal: Arc<Signal>,
    number: Option<u64>,
}

impl Given {
    pub(crate) fn new(signal: Arc<Signal>) -> Self {
        Self { signal, number: None }
    }
}

impl Future for Given {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A waker is the user's code when it is cloned or dropped, so neither is done under the lock.
        let waker = cx.waker().clone();
        let Self { signal, number } = &mut *self;
        let replaced = {
            let mut state = signal.lock();
            if state.given {
                return Poll::Ready(());
            }
            let number = *number.get_or_insert_with(|| state.take_number());
            state.wakers.insert(number, waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let waker = self.number.and_then(|number| self.signal.lock().wakers.remove(&number));
        drop(waker);
    }
}

/// Wakes a task. A waker is the user's code: its panic, of which the hook has spoken, must not keep the others
/// from being woken, nor end a thread of the engine's.
pub(crate) fn wake(waker: Waker) {
    _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// Runs a future of the engine's own to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_up_waiting_is_forgotten() {
        let signal = Arc::new(Signal::default());
        let mut given = pin!(Given::new(Arc::clone(&signal)));
        assert!(given.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(given.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        for _ in 0..1_000 {
            let mut other = pin!(Given::new(Arc::clone(&signal)));
            assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(signal.waiting(), 1, "the one that waits still");
        signal.give();
        assert!(given.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
