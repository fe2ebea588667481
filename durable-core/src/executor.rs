//! Polls futures on the threads of a pool. A task is polled by one thread at a time, and is kept alive by its
//! wakers alone: one that nobody can wake any more is dropped, and gives its run up.
//! Knows no run.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::pool::{Pool, Shared};
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{Mutex, lock};

pub(crate) struct Executor {
    pool: Pool,
    is_closed: AtomicBool,
}

/// What is polled until it has nothing to return.
pub(crate) type Polled = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    future: Mutex<Option<Polled>>,
    state: AtomicU8,
    pool: Weak<Shared>,
}

/// Nobody has woken it.
const IDLE: u8 = 0;
/// It waits to be polled.
const QUEUED: u8 = 1;
/// It is being polled.
const POLLED: u8 = 2;
/// It was woken while it is being polled.
const WOKEN: u8 = 3;

impl Executor {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, is_closed: AtomicBool::new(false) }
    }

    pub(crate) fn spawn(&self, future: Polled) {
        if self.is_closed.load(Ordering::Relaxed) {
            return drop(future);
        }
        let pool = self.pool.handle();
        let task = Task { future: Mutex::new(Some(future)), state: AtomicU8::new(QUEUED), pool };
        Arc::new(task).queue();
    }

    /// Takes no new tasks; those that are there go on.
    pub(crate) fn close_to_new(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Task {
    fn queue(self: Arc<Self>) {
        let Some(pool) = self.pool.upgrade() else { return };
        pool.submit(Box::new(move || self.poll()));
    }

    fn poll(self: Arc<Self>) {
        self.state.store(POLLED, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self));
        {
            let mut future = lock(&self.future);
            let Some(polled) = future.as_mut() else { return };
            if let Poll::Ready(()) = polled.as_mut().poll(&mut Context::from_waker(&waker)) {
                *future = None;
                return;
            }
        }
        let was = self.state.compare_exchange(POLLED, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if was.is_err() {
            self.state.store(QUEUED, Ordering::Release);
            self.queue();
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            POLLED => Some(WOKEN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE) {
            self.queue();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_task_that_is_woken_while_it_is_polled_is_polled_again() {
        let executor = Executor::new(Pool::new("test", 1));
        let (done, end) = mpsc::channel();
        let mut left = 1_000;
        executor.spawn(Box::pin(async move {
            poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                left -= 1;
                if left == 0 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            done.send(()).unwrap();
        }));
        end.recv().unwrap();
    }

    #[test]
    fn a_task_that_nobody_can_wake_is_dropped() {
        let executor = Executor::new(Pool::new("test", 1));
        let (kept, dropped) = mpsc::channel::<()>();
        executor.spawn(Box::pin(async move {
            let _kept = kept;
            pending::<()>().await;
        }));
        assert!(dropped.recv().is_err());
    }
}
