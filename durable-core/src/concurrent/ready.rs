//! Who is to be polled: each branch has a waker of its own, so that a poll touches only those that were woken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, lock};

/// Which branches were woken, and whom to wake for them.
#[derive(Default)]
pub(crate) struct Ready {
    state: Mutex<(VecDeque<usize>, Option<Waker>)>,
}

impl Ready {
    /// Those that were woken since the last poll; `waker` is woken for the next ones.
    pub(crate) fn take(&self, waker: &Waker) -> VecDeque<usize> {
        // A waker is the user's code when it is cloned or dropped, so neither is done under the lock.
        let own = Some(waker.clone());
        let (due, replaced) = {
            let mut state = lock(&self.state);
            (std::mem::take(&mut state.0), std::mem::replace(&mut state.1, own))
        };
        drop(replaced);
        due
    }
}

/// The waker of one branch.
pub(crate) struct Woken {
    index: usize,
    ready: Arc<Ready>,
    pub(crate) is_queued: AtomicBool,
}

impl Woken {
    pub(crate) fn new(index: usize, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self { index, ready: Arc::clone(ready), is_queued: AtomicBool::new(false) })
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let waker = {
            let mut state = lock(&self.ready.state);
            state.0.push_back(self.index);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
