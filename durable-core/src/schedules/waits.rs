//! What waits and wakes: the signal, errands, the pool and its executor. Nobody waits for ever, and nothing that was
//! handed over is done twice or forgotten.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::explore::explore;
use crate::errand::Errands;
use crate::executor::Executor;
use crate::pool::{Pool, while_blocked};
use crate::signal::{Given, Signal, block_on};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock, thread};

#[test]
fn all_that_wait_for_a_signal_are_woken_and_who_gave_up_is_forgotten() {
    explore("a signal", || {
        let signal = Arc::new(Signal::default());
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let given = Given::new(Arc::clone(&signal));
                thread::spawn(move || block_on(given))
            })
            .collect();
        let gives_up = {
            let signal = Arc::clone(&signal);
            thread::spawn(move || {
                let mut given = pin!(Given::new(signal));
                _ = given.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        signal.give();
        waits.into_iter().for_each(|wait| wait.join().unwrap());
        gives_up.join().unwrap();
        assert_eq!(signal.waiting(), 0);
    });
}

#[test]
fn every_errand_is_done_and_the_thread_ends_with_the_store() {
    explore("errands", || {
        let errands = Arc::new(Errands::default());
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let errands = Arc::clone(&errands);
                thread::spawn(move || assert_eq!(block_on(errands.run(move || number)), number))
            })
            .collect();
        let done = Arc::new(AtomicUsize::new(0));
        let sent = Arc::clone(&done);
        errands.send(Box::new(move || _ = sent.fetch_add(1, Ordering::SeqCst)));
        let panics = catch_unwind(AssertUnwindSafe(|| {
            block_on(errands.run(|| resume_unwind(Box::new("broken errand"))))
        }));
        assert!(panics.is_err(), "its panic is the caller's");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(done.load(Ordering::SeqCst), 1, "it went before the one that panicked");
    });
}

#[test]
fn work_is_done_once_or_dropped_with_the_pool_and_by_no_more_threads_than_there_may_be() {
    explore("a pool", || {
        let pool = Arc::new(Pool::new("test", 2));
        let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let submits: Vec<_> = (0..2)
            .map(|_| {
                let (pool, running, done) = (Arc::clone(&pool), Arc::clone(&running), Arc::clone(&done));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let (running, done) = (Arc::clone(&running), Counted(Arc::clone(&done)));
                        pool.submit(Box::new(move || {
                            assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                            thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            drop(done);
                        }));
                    }
                })
            })
            .collect();
        pool.close();
        submits.into_iter().for_each(|thread| thread.join().unwrap());
        drop(pool);
        while done.load(Ordering::SeqCst) < 4 {
            thread::yield_now();
        }
    });
}

/// Counts that it was dropped: with the work that was done, or with the work that was not.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn work_that_waits_for_other_work_of_its_pool_is_no_deadlock() {
    explore("a pool whose work waits", || {
        let pool = Pool::new("test", 1);
        let (told, ended) = (Arc::new(Signal::default()), Arc::new(Signal::default()));
        let (waits, ends) = (Arc::clone(&told), Arc::clone(&ended));
        pool.submit(Box::new(move || {
            while_blocked(|| block_on(Given::new(waits)));
            ends.give();
        }));
        pool.submit(Box::new(move || told.give()));
        block_on(Given::new(ended));
    });
}

#[test]
fn a_task_is_polled_by_one_thread_at_a_time_and_no_wake_is_lost() {
    explore("an executor", || {
        let executor = Executor::new(Pool::new("test", 2));
        let (ended, wakers) = (Arc::new(Signal::default()), Arc::new(Mutex::new(Vec::new())));
        let (polls, wanted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (ends, keeps, wants) = (Arc::clone(&ended), Arc::clone(&wakers), Arc::clone(&wanted));
        executor.spawn(Box::pin(async move {
            poll_fn(|cx| {
                assert_eq!(polls.fetch_add(1, Ordering::SeqCst), 0, "polled by two");
                lock(&keeps).push(cx.waker().clone());
                thread::yield_now();
                polls.fetch_sub(1, Ordering::SeqCst);
                if wants.load(Ordering::SeqCst) == 2 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            ends.give();
        }));
        let wakes: Vec<_> = (0..2)
            .map(|_| {
                let (wakers, wanted) = (Arc::clone(&wakers), Arc::clone(&wanted));
                thread::spawn(move || {
                    wanted.fetch_add(1, Ordering::SeqCst);
                    let all: Vec<Waker> = lock(&wakers).clone();
                    all.into_iter().for_each(Waker::wake);
                })
            })
            .collect();
        block_on(Given::new(ended));
        wakes.into_iter().for_each(|thread| thread.join().unwrap());
        lock(&wakers).clear();
    });
}

#[test]
fn a_task_that_nobody_can_wake_is_dropped() {
    explore("a task without wakers", || {
        let executor = Executor::new(Pool::new("test", 1));
        let dropped = Arc::new(AtomicUsize::new(0));
        let kept = Counted(Arc::clone(&dropped));
        executor.spawn(Box::pin(async move {
            let _kept = kept;
            pending::<()>().await;
        }));
        while dropped.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
    });
}
