//! Who leads, who shares a commit, who hears of which failure: on a store whose commits the test holds.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Wake};
use std::thread::ThreadId;

use super::*;
use crate::clock::Timestamp;
use crate::key::WorkflowId;
use crate::signal::block_on;
use crate::store::{CorruptRow, Epoch, OwnerId, Reset, StepReader};

/// A commit as the store sees it.
#[derive(Debug, Clone)]
struct Commit {
    ids: Vec<String>,
    by: ThreadId,
}

/// What the store says to a batch: `None` is a success.
type Verdict = fn(&[String]) -> Option<StoreError>;

/// A store that tells of each batch, and goes on when the test says so.
struct Held {
    began: Sender<Commit>,
    go_on: Receiver<Verdict>,
}

impl StepStore for Held {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        let ids: Vec<_> = ops.iter().map(id_of).collect();
        self.began.send(Commit { ids: ids.clone(), by: thread::current().id() }).unwrap();
        match (self.go_on.recv().unwrap())(&ids) {
            Some(error) => Err(error),
            None => Ok(ops.iter().map(|_| Answer::Done).collect()),
        }
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        Err(StoreError::Fatal { reason: "nobody reads".into() })
    }

    fn owner(&self) -> OwnerId {
        OwnerId("owner".into())
    }
}

fn id_of(op: &Op) -> String {
    let Op::Reset(Reset { id, .. }) = op else { panic!("{op:?}") };
    id.to_string()
}

fn op(id: &str) -> Op {
    Op::Reset(Reset { id: WorkflowId::new(id).unwrap(), expected: Epoch(1), at: Timestamp::from_millis(8) })
}

struct Bench {
    commits: Arc<Commits>,
    began: Receiver<Commit>,
    go_on: Sender<Verdict>,
}

impl Bench {
    fn new() -> Self {
        let ((began_tx, began), (go_on, go_on_rx)) = (channel(), channel());
        let commits = Arc::new(Commits::new(Box::new(Held { began: began_tx, go_on: go_on_rx })));
        Self { commits, began, go_on }
    }

    /// Lets the next commits go on, whenever they begin.
    fn allow(&self, commits: usize) {
        (0..commits).for_each(|_| self.go_on.send(succeeds).unwrap());
    }

    fn commit_on_thread(&self, id: &str) -> JoinHandle<Answered> {
        let (commits, op) = (Arc::clone(&self.commits), op(id));
        thread::spawn(move || commits.commit(op))
    }

    /// Waits until `count` ops wait behind the commit that is held.
    fn until_waiting(&self, count: usize) {
        let waiting =
            || self.commits.shared.queue().waiting.iter().map(|waiting| waiting.ops.len()).sum::<usize>();
        while waiting() < count {
            thread::yield_now();
        }
    }
}

fn succeeds(_: &[String]) -> Option<StoreError> {
    None
}

#[expect(clippy::unnecessary_wraps, reason = "it is a verdict like any other")]
fn full(_: &[String]) -> Option<StoreError> {
    Some(StoreError::Unavailable { action: "write".into(), reason: "disk full".into() })
}

fn refuses_bad(ids: &[String]) -> Option<StoreError> {
    let row = CorruptRow { table: "steps", key: "bad".into(), reason: "rot".into() };
    ids.iter().any(|id| id == "bad").then(|| row.into())
}

#[test]
fn callers_that_wait_share_the_next_commit_in_their_order() {
    let bench = Bench::new();
    let first = bench.commit_on_thread("first");
    assert_eq!(bench.began.recv().unwrap().ids, ["first"]);
    let mut rest = Vec::new();
    for (i, id) in ["a", "b", "c"].into_iter().enumerate() {
        rest.push(bench.commit_on_thread(id));
        bench.until_waiting(i + 1);
    }
    assert!(!first.is_finished(), "nobody goes on before its commit");
    bench.allow(1);
    assert_eq!(first.join().unwrap().unwrap(), Answer::Done);
    assert_eq!(bench.began.recv().unwrap().ids, ["a", "b", "c"]);
    assert!(rest.iter().all(|caller| !caller.is_finished()));
    bench.allow(1);
    for caller in rest {
        assert_eq!(caller.join().unwrap().unwrap(), Answer::Done);
    }
}

#[test]
fn a_batch_has_a_bound_and_the_next_one_has_its_turn_after_it() {
    let bench = Bench::new();
    let first = bench.commit_on_thread("first");
    bench.began.recv().unwrap();
    let tickets: Vec<_> = (0..=BATCH_OPS_MAX).map(|i| bench.commits.submit(op(&i.to_string()))).collect();
    bench.allow(3);
    let sizes: Vec<_> = (0..2).map(|_| bench.began.recv().unwrap().ids.len()).collect();
    assert_eq!(sizes, [BATCH_OPS_MAX, 1]);
    for ticket in tickets {
        assert_eq!(block_on(ticket).unwrap(), Answer::Done);
    }
    first.join().unwrap().unwrap();
}

#[test]
fn a_future_never_leads_and_a_caller_does_so_on_its_own_thread() {
    let bench = Bench::new();
    bench.allow(2);
    let ticket = bench.commits.submit(op("future"));
    assert_eq!(block_on(ticket).unwrap(), Answer::Done);
    assert_ne!(bench.began.recv().unwrap().by, thread::current().id());
    bench.commits.commit(op("call")).unwrap();
    assert_eq!(bench.began.recv().unwrap().by, thread::current().id());
}

#[test]
fn a_ticket_that_is_dropped_is_written_all_the_same_and_the_end_waits_for_it() {
    let Bench { commits, began, go_on } = Bench::new();
    drop(commits.submit(op("dropped")));
    let handed_over = commits.submit(op("second"));
    (0..2).for_each(|_| go_on.send(succeeds).unwrap());
    drop(Arc::into_inner(commits).unwrap());
    let written: Vec<_> = began.try_iter().flat_map(|commit| commit.ids).collect();
    assert_eq!(written, ["dropped", "second"]);
    assert_eq!(block_on(handed_over).unwrap(), Answer::Done);
}

/// Wakes nobody.
struct Sleeper;

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_ticket_that_is_dropped_lets_go_of_its_waker_before_its_commit() {
    let bench = Bench::new();
    let mut ticket = bench.commits.submit(op("dropped"));
    let sleeper = Arc::new(Sleeper);
    let waker = Waker::from(Arc::clone(&sleeper));
    assert!(pin!(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    let while_waiting = Arc::strong_count(&sleeper);
    drop(ticket);
    let afterwards = Arc::strong_count(&sleeper);
    bench.allow(1);
    assert_eq!(
        (while_waiting, afterwards),
        (2, 1),
        "it is kept for as long as somebody waits, and no longer"
    );
}

#[test]
fn a_bad_op_fails_alone() {
    let bench = Bench::new();
    let first = bench.commit_on_thread("first");
    bench.began.recv().unwrap();
    let tickets = ["good", "bad", "better"].map(|id| bench.commits.submit(op(id)));
    bench.allow(1);
    (0..4).for_each(|_| bench.go_on.send(refuses_bad).unwrap());
    let [good, bad, better] = tickets.map(block_on);
    assert_eq!((good.unwrap(), better.unwrap()), (Answer::Done, Answer::Done));
    assert!(matches!(bad, Err(StoreError::Corrupt(_))));
    first.join().unwrap().unwrap();
    let commits: Vec<_> = bench.began.try_iter().map(|commit| commit.ids.join(" ")).collect();
    assert_eq!(commits, ["good bad better", "good", "bad", "better"]);
}

#[test]
fn a_full_disk_fails_the_whole_batch_and_nothing_more_of_it_is_tried() {
    let bench = Bench::new();
    let first = bench.commit_on_thread("first");
    bench.began.recv().unwrap();
    let tickets = ["a", "b"].map(|id| bench.commits.submit(op(id)));
    bench.allow(1);
    bench.go_on.send(full).unwrap();
    for ticket in tickets {
        assert!(matches!(block_on(ticket), Err(StoreError::Unavailable { .. })));
    }
    first.join().unwrap().unwrap();
    assert_eq!(bench.began.try_iter().count(), 1);
    bench.allow(1);
    assert_eq!(bench.commits.commit(op("c")).unwrap(), Answer::Done, "and no later one");
}

#[test]
fn a_give_up_that_could_not_be_written_goes_before_the_next_write() {
    let bench = Bench::new();
    bench.go_on.send(full).unwrap();
    bench.commits.commit_soon(op("give-up"));
    bench.go_on.send(full).unwrap();
    assert!(bench.commits.commit(op("too early")).is_err(), "it is not done before what is late");
    bench.allow(2);
    bench.commits.commit(op("next")).unwrap();
    let commits: Vec<_> = bench.began.try_iter().map(|commit| commit.ids.join(" ")).collect();
    assert_eq!(commits, ["give-up", "give-up", "give-up", "next"]);
}

#[test]
fn a_give_up_that_is_refused_for_a_reason_of_its_own_stands_in_nobodys_way() {
    let bench = Bench::new();
    for id in ["bad", "good"] {
        bench.go_on.send(full).unwrap();
        bench.commits.commit_soon(op(id));
    }
    (0..4).for_each(|_| bench.go_on.send(refuses_bad).unwrap());
    bench.commits.commit(op("next")).unwrap();
    bench.go_on.send(refuses_bad).unwrap();
    bench.commits.commit_soon(op("bad"));
    bench.allow(1);
    bench.commits.commit(op("last")).unwrap();
    let commits: Vec<_> = bench.began.try_iter().map(|commit| commit.ids.join(" ")).collect();
    assert_eq!(commits, ["bad", "bad", "bad good", "good", "bad", "next", "bad", "last"]);
}

#[test]
fn a_store_that_panics_answers_everyone() {
    let bench = Bench::new();
    bench.go_on.send(|_| panic!("broken store")).unwrap();
    assert!(matches!(bench.commits.commit(op("a")), Err(StoreError::Fatal { .. })));
    bench.allow(1);
    assert_eq!(bench.commits.commit(op("b")).unwrap(), Answer::Done);
}

/// Commits on the thread that wakes it, as an executor does that polls in its wakers.
struct CommitsWhenWoken(Arc<Commits>, AtomicBool);

impl Wake for CommitsWhenWoken {
    fn wake(self: Arc<Self>) {
        self.0.commit(op("woken")).unwrap();
        self.1.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_may_commit_though_only_its_own_thread_would_lead() {
    let bench = Bench::new();
    let mut ticket = bench.commits.submit(op("future"));
    let woken = Arc::new(CommitsWhenWoken(Arc::clone(&bench.commits), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    assert!(pin!(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
    bench.began.recv().unwrap();
    // This one opens a batch that the waker's thread is to lead, and the waker joins it.
    let opener = bench.commits.submit(op("opener"));
    bench.allow(2);
    assert_eq!(block_on(opener).unwrap(), Answer::Done);
    while !woken.1.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    assert_eq!(block_on(ticket).unwrap(), Answer::Done);
    assert_eq!(bench.began.recv().unwrap().ids, ["opener", "woken"]);
}

#[test]
fn everybody_is_answered_under_load_and_commits_are_shared() {
    let bench = Bench::new();
    let callers = 16;
    let each = 50;
    let answered = AtomicUsize::new(0);
    bench.allow(callers * each);
    thread::scope(|scope| {
        for caller in 0..callers {
            let (commits, answered) = (&bench.commits, &answered);
            scope.spawn(move || {
                for i in 0..each {
                    let op = op(&format!("{caller} {i}"));
                    let done =
                        if (caller + i) % 2 == 0 { commits.commit(op) } else { block_on(commits.submit(op)) };
                    assert_eq!(done.unwrap(), Answer::Done);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), callers * each);
    let written: Vec<_> = bench.began.try_iter().flat_map(|commit| commit.ids).collect();
    assert_eq!(written.len(), callers * each);
}

/// A store that puts something off with each commit, and tells when it begins it and when it has done it.
struct PutsOff {
    began: Sender<ThreadId>,
    go_on: Receiver<()>,
}

impl StepStore for PutsOff {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        Ok(ops.iter().map(|_| Answer::Done).collect())
    }

    fn wants_upkeep(&mut self) -> bool {
        true
    }

    fn keep_up(&mut self) {
        self.began.send(thread::current().id()).unwrap();
        self.go_on.recv().unwrap();
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        Err(StoreError::Fatal { reason: "nobody reads".into() })
    }

    fn owner(&self) -> OwnerId {
        OwnerId("owner".into())
    }
}

#[test]
fn what_a_store_puts_off_holds_up_no_caller_that_has_been_answered() {
    let ((began_tx, began), (go_on, go_on_rx)) = (channel(), channel());
    let commits = Commits::new(Box::new(PutsOff { began: began_tx, go_on: go_on_rx }));
    // It returns while what was put off is held.
    assert_eq!(commits.commit(op("a")).unwrap(), Answer::Done);
    let by = began.recv().unwrap();
    assert_ne!(by, thread::current().id());
    go_on.send(()).unwrap();
    let ticket = commits.submit(op("b"));
    assert_eq!(block_on(ticket).unwrap(), Answer::Done);
    assert_eq!(began.recv().unwrap(), by, "the thread that leads for futures does it");
    go_on.send(()).unwrap();
}
