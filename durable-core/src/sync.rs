//! Where the engine takes its locks, condition variables, atomics and threads from: `std`, unless its own tests ask
//! for a scheduler that tries many orders of them (`just schedules`): shuttle's with `--cfg shuttle`, loom's with
//! `--cfg loom`.
//! The one rule: what threads wait for in a run, in a commit or in the background comes from here, and a lock whose
//! holder panicked is taken all the same. Statics stay with `std`, since they outlive a schedule; so do `Arc` and
//! `OnceLock`, at which nobody waits, and all that stands beside files.

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use self::room::{Condvar, Mutex, MutexGuard, atomic, thread, thread_local};

#[cfg(not(any(all(test, shuttle), all(test, loom))))]
mod room {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) use std::{thread, thread_local};
}

#[cfg(all(test, shuttle))]
mod room {
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
    pub(crate) use shuttle::thread_local;

    pub(crate) mod thread {
        use std::sync::Arc;

        use super::{Condvar, Mutex};
        use crate::sync::{lock, wait_while};

        pub(crate) use shuttle::thread::*;

        /// Shuttle's own wakes its caller when the last thread ends, whatever that waits for by then; so one thread
        /// more ends after the caller is done.
        pub(crate) fn scope<'env, T>(f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
            let over = Arc::new((Mutex::new(false), Condvar::new()));
            shuttle::thread::scope(|threads| {
                let last = Arc::clone(&over);
                threads.spawn(move || drop(wait_while(&last.1, lock(&last.0), |is_over| !*is_over)));
                let returned = f(threads);
                *lock(&over.0) = true;
                over.1.notify_one();
                returned
            })
        }
    }
}

#[cfg(all(test, loom))]
mod room {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};

    /// Loom's takes no `const`.
    macro_rules! of_each_thread {
        ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };)*) => {
            loom::thread_local! { $($(#[$attribute])* static $name: $type = $init;)* }
        };
    }
    pub(crate) use of_each_thread as thread_local;

    pub(crate) mod thread {
        pub(crate) use loom::thread::*;
        // Loom has no threads that borrow; nothing that it tries starts any.
        pub(crate) use std::thread::{Scope, ScopedJoinHandle, scope};
    }
}

/// Locks `mutex`. A panic under the lock left a state as good as any other: none is held across the user's code.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a lock that nobody shares any more guarded.
pub(crate) fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the lock up until `changed` is told of something, perhaps for no reason.
pub(crate) fn wait<'m, T>(changed: &Condvar, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// The same, as long as `is_idle`.
pub(crate) fn wait_while<'m, T>(
    changed: &Condvar,
    mut guard: MutexGuard<'m, T>,
    mut is_idle: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    while is_idle(&mut guard) {
        guard = wait(changed, guard);
    }
    guard
}

/// The same, but not for longer than `time`. In a schedule that is for ever.
#[cfg(not(all(test, loom)))]
pub(crate) fn wait_while_for<'m, T>(
    changed: &Condvar,
    guard: MutexGuard<'m, T>,
    time: Duration,
    is_idle: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    changed.wait_timeout_while(guard, time, is_idle).unwrap_or_else(PoisonError::into_inner).0
}

/// Loom's have no such wait.
#[cfg(all(test, loom))]
pub(crate) fn wait_while_for<'m, T>(
    changed: &Condvar,
    guard: MutexGuard<'m, T>,
    _time: Duration,
    is_idle: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'m, T> {
    wait_while(changed, guard, is_idle)
}

/// The same as [`wait`], but not for longer than `time`, and whether it was as long. In a schedule that is for ever.
pub(crate) fn wait_for<'m, T>(
    changed: &Condvar,
    guard: MutexGuard<'m, T>,
    time: Duration,
) -> (MutexGuard<'m, T>, bool) {
    let (guard, waited) = changed.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
    (guard, waited.timed_out())
}
