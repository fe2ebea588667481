//! Group commit: whoever leads, each caller hears of its own write, after it; nothing is lost or written twice; and
//! the end waits for what was handed over.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::explore::explore;
use crate::clock::Timestamp;
use crate::key::WorkflowId;
use crate::signal::block_on;
use crate::store::batch::Answered;
use crate::store::commit::Commits;
use crate::store::{Answer, CorruptRow, Epoch, Op, OwnerId, Reset, StepReader, StepStore, StoreError};
use crate::sync::thread;

/// What is written, in the order in which it was.
type Written = Arc<Mutex<Vec<i64>>>;

/// A store that answers each op with its number, and fails as its plan says.
struct Kept {
    written: Written,
    plan: fn(&[i64], usize) -> Option<StoreError>,
    applied: usize,
}

impl StepStore for Kept {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let numbers: Vec<_> = ops.iter().map(number_of).collect();
        self.applied += 1;
        // A disk takes its time, and others come meanwhile.
        thread::yield_now();
        if let Some(error) = (self.plan)(&numbers, self.applied) {
            return Err(error);
        }
        seen(&self.written).extend(&numbers);
        Ok(numbers.into_iter().map(|number| Answer::Started(Epoch(number))).collect())
    }

    fn wants_upkeep(&mut self) -> bool {
        self.applied.is_multiple_of(2)
    }

    fn keep_up(&mut self) {
        thread::yield_now();
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        Err(StoreError::Fatal { reason: "nobody reads".into() })
    }

    fn owner(&self) -> OwnerId {
        OwnerId("owner".into())
    }
}

fn op(number: i64) -> Op {
    let (id, at) = (WorkflowId::new("a").unwrap(), Timestamp::from_millis(0));
    Op::Reset(Reset { id, expected: Epoch(number), at })
}

fn number_of(op: &Op) -> i64 {
    let Op::Reset(Reset { expected, .. }) = op else { panic!("{op:?}") };
    expected.0
}

fn commits(plan: fn(&[i64], usize) -> Option<StoreError>) -> (Arc<Commits>, Written) {
    let written = Written::default();
    let store = Kept { written: Arc::clone(&written), plan, applied: 0 };
    (Arc::new(Commits::new(Box::new(store))), written)
}

fn seen(written: &Written) -> std::sync::MutexGuard<'_, Vec<i64>> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer is the op's own, and the op is written by now, if it says so.
#[track_caller]
fn check(number: i64, answered: &Answered, written: &Written) {
    let is_written = seen(written).contains(&number);
    match answered {
        Ok(answer) => {
            assert!(is_written && *answer == Answer::Started(Epoch(number)), "{number}: {answer:?}")
        }
        Err(error) => assert!(!is_written, "{number} is written, and its caller was told {error}"),
    }
}

/// Each of `numbers` once.
#[track_caller]
fn check_all(written: &Written, numbers: impl IntoIterator<Item = i64>) {
    let mut counts = BTreeMap::new();
    seen(written).iter().for_each(|number| *counts.entry(*number).or_insert(0) += 1);
    assert_eq!(counts, numbers.into_iter().map(|number| (number, 1)).collect::<BTreeMap<_, _>>());
}

fn never(_: &[i64], _: usize) -> Option<StoreError> {
    None
}

#[test]
fn each_caller_goes_on_after_its_own_write_whoever_leads() {
    explore("callers and futures", || {
        let (commits, written) = commits(never);
        let threads: Vec<_> = (0..4)
            .map(|caller| {
                let (commits, written) = (Arc::clone(&commits), Arc::clone(&written));
                thread::spawn(move || {
                    for number in [caller * 2, caller * 2 + 1] {
                        let answered = if caller < 2 {
                            commits.commit(op(number))
                        } else {
                            block_on(commits.submit(op(number)))
                        };
                        assert!(answered.is_ok(), "{answered:?}");
                        check(number, &answered, &written);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(commits);
        check_all(&written, 0..8);
    });
}

#[test]
fn the_end_waits_for_what_was_handed_over_and_leaves_no_thread() {
    explore("the end of a store", || {
        let (commits, written) = commits(never);
        let waiting = commits.submit(op(0));
        let waits = {
            let written = Arc::clone(&written);
            thread::spawn(move || check(0, &block_on(waiting), &written))
        };
        let other = {
            let commits = Arc::clone(&commits);
            thread::spawn(move || drop(commits.submit(op(1))))
        };
        drop(commits.submit(op(2)));
        other.join().unwrap();
        drop(Arc::into_inner(commits).unwrap());
        check_all(&written, 0..3);
        waits.join().unwrap();
    });
}

/// Refuses op 1 for its own sake, wherever it stands.
fn refuses_one(numbers: &[i64], _: usize) -> Option<StoreError> {
    let row = CorruptRow { table: "steps", key: "1".into(), reason: "rot".into() };
    numbers.contains(&1).then(|| row.into())
}

/// Has no room for the second transaction.
fn is_full_once(_: &[i64], applied: usize) -> Option<StoreError> {
    (applied == 2).then(|| StoreError::Unavailable { action: "write".into(), reason: "disk full".into() })
}

#[test]
fn who_is_told_of_a_failure_has_nothing_written() {
    type Plan = fn(&[i64], usize) -> Option<StoreError>;
    let cases: [(_, Plan, _); 2] =
        [("an op that is refused", refuses_one, 1..=1), ("a full disk", is_full_once, 0..=3)];
    for (name, plan, failures) in cases {
        explore(name, move || {
            let (commits, written) = commits(plan);
            let threads: Vec<_> = (0..3)
                .map(|number| {
                    let (commits, written) = (Arc::clone(&commits), Arc::clone(&written));
                    thread::spawn(move || {
                        let answered = match number {
                            0 => commits.commit(op(number)),
                            _ => block_on(commits.submit(op(number))),
                        };
                        check(number, &answered, &written);
                        i64::from(answered.is_err())
                    })
                })
                .collect();
            let failed: i64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert!(failures.contains(&failed), "{failed} failed, and a bad op fails alone");
        });
    }
}

#[test]
fn a_give_up_that_had_no_room_goes_before_the_next_write() {
    explore("a give-up that is late", || {
        let (commits, written) = commits(|_, applied| is_full_once(&[], applied + 1));
        let soon = {
            let commits = Arc::clone(&commits);
            thread::spawn(move || commits.commit_soon(op(0)))
        };
        let answered = commits.commit(op(1));
        check(1, &answered, &written);
        soon.join().unwrap();
        assert!(commits.commit(op(2)).is_ok());
        let first = seen(&written).iter().position(|number| *number == 0);
        let last = seen(&written).iter().position(|number| *number == 2);
        assert!(first.is_some() && first < last, "{:?}", seen(&written));
    });
}

/// Commits on the thread that wakes it, as an executor does that polls in its wakers.
struct CommitsWhenWoken(Arc<Commits>, Written);

impl Wake for CommitsWhenWoken {
    fn wake(self: Arc<Self>) {
        check(10, &self.0.commit(op(10)), &self.1);
    }
}

#[test]
fn a_waker_may_commit_on_the_thread_that_leads() {
    explore("a waker that commits", || {
        let (commits, written) = commits(never);
        let mut ticket = commits.submit(op(0));
        let woken = CommitsWhenWoken(Arc::clone(&commits), Arc::clone(&written));
        let first = {
            let waker = Waker::from(Arc::new(woken));
            pin!(&mut ticket).poll(&mut Context::from_waker(&waker))
        };
        let other = {
            let commits = Arc::clone(&commits);
            thread::spawn(move || block_on(commits.submit(op(1))).unwrap())
        };
        assert!(commits.commit(op(2)).is_ok());
        if first.is_pending() {
            check(0, &block_on(ticket), &written);
        }
        other.join().unwrap();
        drop(commits);
        // The waker holds the store too, so its last holder may be the thread that leads.
        let waits_for_waker = matches!(first, Poll::Pending);
        while waits_for_waker && !seen(&written).contains(&10) {
            thread::yield_now();
        }
        check_all(&written, (0..3).chain(waits_for_waker.then_some(10)));
    });
}
