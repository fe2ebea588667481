//! Threads that do what is handed to them: started when they are needed, gone when they were idle for a while.
//! Knows no run.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, lock, thread, thread_local, wait_for};

/// So long a thread without work waits for some.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// What a thread is to do.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Dropped, its threads end after what they are doing.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    name: &'static str,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    threads_max: usize,
    threads: usize,
    /// Those that wait for work.
    idle: usize,
    /// Those whose work waits for something that other work may have to do first.
    blocked: usize,
    is_closed: bool,
}

thread_local! {
    /// The pool that this thread belongs to.
    static POOL: RefCell<Weak<Shared>> = const { RefCell::new(Weak::new()) };
}

impl Pool {
    pub(crate) fn new(name: &'static str, threads_max: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            threads_max,
            threads: 0,
            idle: 0,
            blocked: 0,
            is_closed: false,
        };
        Self { shared: Arc::new(Shared { name, state: Mutex::new(state), changed: Condvar::new() }) }
    }

    pub(crate) fn set_threads_max(&self, threads: usize) {
        self.shared.state().threads_max = threads.max(1);
    }

    /// Has `work` done by one of the threads. In a closed pool, and where the system gives no thread, it is
    /// dropped.
    pub(crate) fn submit(&self, work: Work) {
        self.shared.submit(work);
    }

    /// Where more work can be handed over later, as long as the pool is there.
    pub(crate) fn handle(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state().is_closed
    }

    /// Drops what waits, and takes no more.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut state = self.shared.state();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.shared.changed.notify_all();
        // After the lock: what is dropped may hand over something itself.
        drop(waiting);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    pub(crate) fn submit(self: &Arc<Self>, work: Work) {
        let mut state = self.state();
        if state.is_closed {
            drop(state);
            return drop(work);
        }
        state.waiting.push_back(work);
        let refused = if state.is_short() { self.start_thread(&mut state) } else { None };
        drop(state);
        self.changed.notify_one();
        drop(refused);
    }

    /// Starts a thread. Where there is none to be had, and none is there, what waits is given back.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> Option<VecDeque<Work>> {
        let shared = Arc::clone(self);
        if thread::Builder::new().name(self.name.into()).spawn(move || shared.work()).is_ok() {
            state.threads += 1;
            return None;
        }
        (state.threads == 0).then(|| std::mem::take(&mut state.waiting))
    }

    fn work(self: Arc<Self>) {
        POOL.with(|pool| *pool.borrow_mut() = Arc::downgrade(&self));
        while let Some(work) = self.next() {
            // What is handed over catches the panics of the user's code itself.
            _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    /// The next work; `None` once this thread is to end.
    fn next(&self) -> Option<Work> {
        let (mut state, mut timed_out) = (self.state(), false);
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            if state.is_closed || timed_out {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            (state, timed_out) = wait_for(&self.changed, state, IDLE_MAX);
            state.idle -= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Whether there is work for another thread.
    fn is_short(&self) -> bool {
        self.waiting.len() > self.idle && self.threads.saturating_sub(self.blocked) < self.threads_max
    }
}

/// Calls `wait`, which waits for other runs. On a thread of a pool another one may start meanwhile: what is
/// waited for may have to be done by this pool.
pub(crate) fn while_blocked<R>(wait: impl FnOnce() -> R) -> R {
    let _blocked = POOL.with(|pool| pool.borrow().upgrade()).map(|shared| {
        let refused = {
            let mut state = shared.state();
            state.blocked += 1;
            if state.is_short() { shared.start_thread(&mut state) } else { None }
        };
        drop(refused);
        Blocked(shared)
    });
    wait()
}

struct Blocked(Arc<Shared>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.state().blocked -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_that_waits_for_other_work_makes_room_for_it() {
        let pool = Pool::new("test", 1);
        let (tell, told) = mpsc::channel();
        let (done, end) = mpsc::channel();
        pool.submit(Box::new(move || {
            while_blocked(|| told.recv().unwrap());
            done.send(()).unwrap();
        }));
        pool.submit(Box::new(move || tell.send(()).unwrap()));
        end.recv().unwrap();
    }

    #[test]
    fn no_more_threads_work_at_once_than_were_asked_for() {
        let pool = Pool::new("test", 2);
        let (begun, begins) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        for _ in 0..5 {
            let (begun, gate) = (begun.clone(), Arc::clone(&gate));
            pool.submit(Box::new(move || {
                begun.send(()).unwrap();
                drop(gate.lock().unwrap());
            }));
        }
        begins.recv().unwrap();
        begins.recv().unwrap();
        let (threads, waiting) = {
            let state = pool.shared.state();
            (state.threads, state.waiting.len())
        };
        assert_eq!((threads, waiting), (2, 3));
        drop(closed);
        (0..3).for_each(|_| begins.recv().unwrap());
    }

    #[test]
    fn a_closed_pool_drops_what_it_is_given() {
        let pool = Pool::new("test", 1);
        pool.close();
        let (kept, dropped) = mpsc::channel::<()>();
        pool.submit(Box::new(move || drop(kept)));
        assert!(dropped.recv().is_err());
        assert_eq!(pool.shared.state().threads, 0);
    }
}
