//! One transaction's worth of writes, as those see it who wait for it: threads sleep on it, futures leave a
//! waker. The one rule: it is published once, after its commit. Knows no op and no store.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Answer, StoreError};
use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait};

/// What became of one write.
pub(crate) type Answered = Result<Answer, StoreError>;

#[derive(Default)]
pub(super) struct Batch {
    state: Mutex<State>,
    published: Condvar,
}

#[derive(Default)]
struct State {
    /// One for each write, until its caller takes it.
    answers: Option<Vec<Option<Answered>>>,
    /// Whom to wake, at the number of the write.
    wakers: Vec<Option<Waker>>,
}

impl State {
    fn take(&mut self, index: usize) -> Option<Answered> {
        let answer = self.answers.as_mut()?.get_mut(index).and_then(Option::take);
        Some(answer.unwrap_or_else(|| Err(StoreError::Fatal { reason: "it gave no answer".into() })))
    }
}

impl Batch {
    /// Answers all that wait. The wakers are to be woken by the caller, once it holds no lock.
    pub(super) fn publish(&self, answers: Vec<Answered>) -> Vec<Waker> {
        let mut state = self.state();
        state.answers = Some(answers.into_iter().map(Some).collect());
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.published.notify_all();
        wakers.into_iter().flatten().collect()
    }

    pub(super) fn is_published(&self) -> bool {
        self.state().answers.is_some()
    }

    /// Sleeps until write `index` is answered.
    pub(super) fn wait(&self, index: usize) -> Answered {
        let mut state = self.state();
        loop {
            if let Some(answered) = state.take(index) {
                return answered;
            }
            state = wait(&self.published, state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A write that was handed over: ready once it is answered. Dropped, it is written all the same.
pub(crate) struct Ticket(Handed);

enum Handed {
    Answered(Option<Answered>),
    Over(Arc<Batch>, usize),
}

impl Ticket {
    pub(super) fn new(batch: Arc<Batch>, index: usize) -> Self {
        Self(Handed::Over(batch, index))
    }

    pub(super) fn ready(answered: Answered) -> Self {
        Self(Handed::Answered(Some(answered)))
    }
}

impl Future for Ticket {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let (batch, index) = match &mut self.0 {
            Handed::Answered(answered) => return answered.take().map_or(Poll::Pending, Poll::Ready),
            Handed::Over(batch, index) => (batch, *index),
        };
        // A waker is the user's code when it is cloned or dropped, so neither is done under the lock.
        let waker = cx.waker().clone();
        let replaced = {
            let mut state = batch.state();
            if let Some(answered) = state.take(index) {
                return Poll::Ready(answered);
            }
            if state.wakers.len() <= index {
                state.wakers.resize(index + 1, None);
            }
            state.wakers[index].replace(waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Handed::Over(batch, index) = &self.0 {
            let waker = batch.state().wakers.get_mut(*index).and_then(Option::take);
            drop(waker);
        }
    }
}
