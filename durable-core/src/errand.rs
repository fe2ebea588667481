//! Reads for futures: a thread of the store's own makes them, so that no executor waits for a disk.
//! Knows no run and no database.

use std::collections::VecDeque;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::signal::{Given, Signal};
use crate::sync::{Condvar, Mutex, lock, thread, wait_while};

pub(crate) type Errand = Box<dyn FnOnce() + Send>;

/// The errands of one store, done in their order by a thread that the first one starts.
#[derive(Default)]
pub(crate) struct Errands {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Errand>,
    has_thread: bool,
    is_closed: bool,
}

impl Errands {
    /// What `errand` returns, or its panic, without blocking whoever awaits it.
    pub(crate) async fn run<T: Send + 'static>(&self, errand: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = (Arc::new(Signal::default()), Arc::new(Mutex::new(None)));
        let (given, slot) = (Given::new(Arc::clone(&done)), Arc::clone(&result));
        self.send(Box::new(move || {
            let returned = catch_unwind(AssertUnwindSafe(errand));
            *lock(&slot) = Some(returned);
            done.give();
        }));
        given.await;
        let returned = lock(&result).take();
        match returned {
            Some(Ok(returned)) => returned,
            Some(Err(panic)) => resume_unwind(panic),
            // It was put there before the signal was given.
            None => pending().await,
        }
    }

    /// Has it done some time. It must not panic.
    pub(crate) fn send(&self, errand: Errand) {
        let mut queue = lock(&self.shared.queue);
        if !queue.has_thread {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("durable-reader".into());
            queue.has_thread = thread.spawn(move || shared.work()).is_ok();
        }
        if queue.has_thread {
            queue.waiting.push_back(errand);
            self.shared.changed.notify_one();
        } else {
            // The system gives no thread: late is better than never.
            drop(queue);
            errand();
        }
    }
}

impl Drop for Errands {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.is_closed;
            let mut queue = wait_while(&self.changed, lock(&self.queue), idle);
            let Some(errand) = queue.waiting.pop_front() else { return };
            drop(queue);
            errand();
        }
    }
}
