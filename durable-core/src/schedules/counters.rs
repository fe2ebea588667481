//! Counters and the signal under every interleaving of two or three threads that the memory model allows: no position
//! is given out twice, no draw is the same, branches take theirs whatever the others do, and who waits is woken.

use std::sync::Arc;

use loom::model::Builder;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::history::History;
use crate::key::{Site, WorkflowId};
use crate::run::{Mode, Run, Seat};
use crate::scope::{CONSTRUCT, Scope, What};
use crate::signal::{Given, Signal, block_on};
use crate::store::Epoch;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::thread;

/// Tries `body` in every interleaving, and prints how many there are.
#[track_caller]
fn try_all(name: &str, body: impl Fn() + Send + Sync + 'static) {
    // Not loom's: its own counts, and is the same in each interleaving.
    let tried = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counts = Arc::clone(&tried);
    Builder::new().check(move || {
        counts.fetch_add(1, Ordering::Relaxed);
        body();
    });
    println!("interleavings: {name}: {}, which is all", tried.load(Ordering::Relaxed));
}

const fn what(name: &'static str, kind: &'static str) -> What {
    What { name, kind, site: Site { file: file!(), line: 0 } }
}

const STEP: What = what("work", "step");

/// The scope of the body of a run in memory, and the engine that must outlive it.
fn root() -> (Engine, Arc<Scope>) {
    let engine = Engine::in_memory().unwrap();
    let seat = Seat {
        id: WorkflowId::new("a").unwrap(),
        epoch: Epoch(1),
        nonce: 1,
        seed: 1,
        version: None,
        started: Timestamp::from_millis(0),
        history: Arc::new(History::with_room(0)),
        in_background: false,
        check: None,
    };
    let run = Run::new(Arc::clone(&engine.core), Arc::clone(&engine.settings), seat, Mode::Called);
    (engine, Scope::root(run))
}

/// The positions that one operation after another takes in `scope`; an operation that is refused takes none.
fn take(scope: &Arc<Scope>, operations: i64) -> Vec<Vec<u32>> {
    let mut taken = Vec::new();
    for at in 0..operations {
        if let Ok(ticket) = scope.begin(STEP) {
            taken.push(ticket.position.path().to_vec());
            ticket.end(Timestamp::from_millis(at));
        }
    }
    taken
}

#[test]
fn branches_take_their_own_positions_in_every_interleaving() {
    try_all("two branches and the body after them", || {
        let (_engine, scope) = root();
        let fork = scope.begin(what("join", CONSTRUCT)).unwrap();
        let (left, right) = (fork.branch(0), fork.branch(1));
        let other = thread::spawn(move || take(&right, 2));
        assert_eq!(take(&left, 2), [[0, 0, 0], [0, 0, 1]]);
        assert_eq!(other.join().unwrap(), [[0, 1, 0], [0, 1, 1]]);
        fork.end(Timestamp::from_millis(0));
        assert_eq!(take(&scope, 1), [[1]]);
    });
}

#[test]
fn threads_that_share_a_scope_never_share_a_position() {
    try_all("two threads in one scope", || {
        let (_engine, scope) = root();
        let other = {
            let scope = Arc::clone(&scope);
            thread::spawn(move || take(&scope, 2))
        };
        let mut taken = take(&scope, 2);
        taken.extend(other.join().unwrap());
        taken.sort();
        let numbers: Vec<_> = (0..).map(|number| vec![number]).take(taken.len()).collect();
        assert_eq!(taken, numbers, "each once, and none left out");
    });
}

#[test]
fn draws_of_a_scope_are_never_the_same_and_its_time_never_goes_back() {
    try_all("two threads that draw", || {
        let (_engine, scope) = root();
        let other = {
            let scope = Arc::clone(&scope);
            thread::spawn(move || {
                scope.pass(Timestamp::from_millis(7));
                [scope.draw(), scope.draw()]
            })
        };
        scope.pass(Timestamp::from_millis(5));
        let mut drawn = vec![scope.draw()];
        drawn.extend(other.join().unwrap());
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2]);
        assert_eq!(scope.last(), Timestamp::from_millis(7));
    });
}

#[test]
fn who_waits_for_a_signal_is_woken_and_sees_what_came_before_it() {
    try_all("two that wait for a signal", || {
        let signal = Arc::new(Signal::default());
        let before = Arc::new(AtomicUsize::new(0));
        let wait = |signal: &Arc<Signal>| {
            let (given, before) = (Given::new(Arc::clone(signal)), Arc::clone(&before));
            thread::spawn(move || {
                block_on(given);
                assert_eq!(before.load(Ordering::Relaxed), 1);
            })
        };
        let waits = [wait(&signal), wait(&signal)];
        before.store(1, Ordering::Relaxed);
        signal.give();
        waits.into_iter().for_each(|wait| wait.join().unwrap());
        assert_eq!(signal.waiting(), 0);
    });
}
