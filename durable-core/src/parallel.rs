//! Branches on threads: [`join`], [`scope`] and [`map`], for steps that are plain functions.
//! All started branches run to their end before the construct returns, as with `std::thread::scope`; then the
//! panic of the lowest branch goes on. A fault of the run outranks it.
//! Knows no store and no futures.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::error::Error;
use crate::fork::{Fork, Panic, is_own};
use crate::key::Site;
use crate::run::{Ambient, Run};
use crate::scope::MAP;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, into_inner, lock, thread};
use crate::trace;

/// Runs `a` and `b` at once, `b` on a thread of its own, and returns what both return.
///
/// In a workflow the construct takes one position and each closure is a branch with positions of its own:
/// `a` has those below `<position>.0`, `b` those below `<position>.1`. Elsewhere it only runs them.
///
/// A step that failed as the last one of a branch counts as escaped if the workflow ends in an error with
/// nothing recorded after the construct, even if the branch made something else of it: it runs again on resume.
///
/// # Panics
/// Once both have ended, with the panic of the first of them that panicked.
///
/// # Examples
/// ```
/// let (laptop, access) = durable_core::join(|| "laptop", || "access");
/// assert_eq!((laptop, access), ("laptop", "access"));
/// ```
#[track_caller]
pub fn join<A, B>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B)
where
    A: Send,
    B: Send,
{
    let fork = begin("join", Location::caller());
    let (first, second) = (fork.branch(0), fork.branch(1));
    let (a, b) = thread::scope(|threads| {
        let b = threads.spawn(on_thread(second, b));
        let a = run_branch(first, a);
        (a, b.join().unwrap_or_else(Err))
    });
    end(fork, || match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(panic), _) | (_, Err(panic)) => Err(panic),
    })
}

/// Runs `f` on each item, at most `limit` at once (0 counts as 1) and each on a thread, and returns what they
/// return in the order of the items.
///
/// In a workflow the construct takes one position and item `i` is branch `i` of it. Steps that return a
/// `Result` are gathered by the caller; the first error is then the one of the lowest branch:
/// `durable::map(orders, 8, ship).into_iter().collect::<Result<Vec<_>, _>>()?`.
///
/// # Panics
/// With the panic of the lowest branch that panicked, once all that had started have ended. After a panic no
/// further item is started.
///
/// # Examples
/// ```
/// assert_eq!(durable_core::map(1..=4, 2, |n| n * n), [1, 4, 9, 16]);
/// ```
#[track_caller]
pub fn map<I, R>(items: I, limit: usize, f: impl Fn(I::Item) -> R + Sync) -> Vec<R>
where
    I: IntoIterator,
    I::Item: Send,
    R: Send,
{
    let fork = begin(MAP, Location::caller());
    let items: Vec<_> = items.into_iter().collect();
    let workers = limit.clamp(1, items.len().max(1));
    let results: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    let queue = Mutex::new(items.into_iter().enumerate());
    let panicked = AtomicBool::new(false);
    let work = || {
        while !panicked.load(Ordering::Relaxed) && fork.fault().is_none() {
            let Some((i, item)) = lock(&queue).next() else { break };
            let branch = fork.branch(u32::try_from(i).unwrap_or(u32::MAX));
            let result = run_branch(branch, || f(item));
            panicked.fetch_or(result.as_ref().is_err_and(is_own), Ordering::Relaxed);
            *lock(&results[i]) = Some(result);
        }
    };
    let span = trace::current();
    thread::scope(|threads| {
        for _ in 1..workers {
            threads.spawn(|| span.in_scope(work));
        }
        work();
    });
    let results = results.into_iter().filter_map(into_inner);
    end(fork, || results.collect())
}

/// Runs `f`, which can spawn branches on threads that borrow from around it, and returns what it returns once
/// all have ended.
///
/// In a workflow the construct takes one position. `f` is branch 0 of it, and the branches that it spawns are
/// 1, 2, … in the order of the calls, so only `f` itself may spawn.
///
/// # Panics
/// Once all have ended, with the panic of the lowest branch that panicked.
///
/// # Examples
/// ```
/// let names = vec!["ada", "grace"];
/// let total = durable_core::scope(|s| {
///     let first = s.spawn(|| names[0].len());
///     let second = s.spawn(|| names[1].len());
///     first.join() + second.join()
/// });
/// assert_eq!(total, 8);
/// ```
#[track_caller]
pub fn scope<'env, R>(f: impl for<'scope> FnOnce(&Branches<'scope, 'env>) -> R) -> R {
    let shared = Arc::new(Shared { fork: begin("scope", Location::caller()), panics: Mutex::default() });
    let own = shared.fork.branch(0);
    let result = thread::scope(|threads| {
        let (shared, next) = (Arc::clone(&shared), AtomicU32::new(1));
        let branches = Branches { threads, shared, own: own.clone(), next };
        run_branch(own, || f(&branches))
    });
    // All threads have ended, so nobody else holds it.
    let Some(Shared { fork, panics }) = Arc::into_inner(shared) else {
        return result.unwrap_or_else(|p| resume_unwind(p));
    };
    let mut panics = into_inner(panics);
    panics.sort_by_key(|(index, _)| *index);
    end(fork, || match (result, panics.into_iter().next()) {
        (Ok(result), None) => Ok(result),
        // The closure is branch 0, so its panic counts, unless it only passed on that of a branch that it
        // joined.
        (Err(own), Some((_, joined))) => Err(if own.is::<Joined>() { joined } else { own }),
        (Err(panic), None) | (Ok(_), Some((_, panic))) => Err(panic),
    })
}

/// Spawns the branches of a [`scope`].
pub struct Branches<'scope, 'env> {
    threads: &'scope thread::Scope<'scope, 'env>,
    shared: Arc<Shared>,
    own: Ambient,
    next: AtomicU32,
}

/// What the branches of a scope have in common.
struct Shared {
    fork: Fork,
    panics: Mutex<Vec<(u32, Panic)>>,
}

/// A branch that was spawned; [`Branch::join`] waits for it. One that is not joined ends before its scope
/// does.
#[derive(Debug)]
pub struct Branch<'scope, R> {
    thread: thread::ScopedJoinHandle<'scope, Option<R>>,
}

/// The payload with which a join passes on that its branch panicked; the branch's own panic counts.
struct Joined;

impl<'scope> Branches<'scope, '_> {
    /// Starts `f` on a thread, as the next branch.
    ///
    /// # Panics
    /// If the system gives no thread, as `std::thread::Scope::spawn` does.
    #[track_caller]
    pub fn spawn<R: Send + 'scope>(&self, f: impl FnOnce() -> R + Send + 'scope) -> Branch<'scope, R> {
        self.check_caller(Location::caller());
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let body = on_thread(self.shared.fork.branch(index), f);
        let shared = Arc::clone(&self.shared);
        let thread = self
            .threads
            .spawn(move || body().map_err(|panic| lock(&shared.panics).push((index, panic))).ok());
        Branch { thread }
    }

    /// Numbers are given in the order of the calls, which only one branch can make the same each time.
    fn check_caller(&self, caller: &Location<'static>) {
        let (Ambient::Inside(own), Ambient::Inside(here)) = (&self.own, Ambient::current()) else { return };
        if !Arc::ptr_eq(own, &here) {
            let site = Site { file: caller.file(), line: caller.line() };
            here.run.unwind(Error::ForeignSpawn { workflow: here.run.id.clone(), site });
        }
    }
}

impl<R> Branch<'_, R> {
    /// Waits for the branch and returns what it returned.
    ///
    /// # Panics
    /// If the branch panicked; the panic that leaves the scope is the branch's own.
    pub fn join(self) -> R {
        match self.thread.join() {
            Ok(Some(result)) => result,
            Ok(None) => resume_unwind(Box::new(Joined)),
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[track_caller]
fn begin(name: &'static str, caller: &Location<'static>) -> Fork {
    let site = Site { file: caller.file(), line: caller.line() };
    Fork::begin(name, site).unwrap_or_else(|(run, fault): (Arc<Run>, Error)| run.unwind(fault))
}

/// Ends the construct: a fault first, then the panic of the lowest branch, then the results.
fn end<R>(fork: Fork, results: impl FnOnce() -> Result<R, Panic>) -> R {
    if let Some((run, fault)) = fork.fault() {
        run.unwind(fault);
    }
    let results = results();
    if results.is_ok() {
        fork.check_ended().unwrap_or_else(|(run, fault)| run.unwind(fault));
    }
    fork.end();
    results.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs `f` as a branch on this thread.
fn run_branch<R>(branch: Ambient, f: impl FnOnce() -> R) -> Result<R, Panic> {
    let _inside = branch.enter();
    catch_unwind(AssertUnwindSafe(f))
}

/// The body of a thread that runs `f` as a branch, within the current span.
fn on_thread<R>(branch: Ambient, f: impl FnOnce() -> R) -> impl FnOnce() -> Result<R, Panic> {
    let span = trace::current();
    move || span.in_scope(|| run_branch(branch, f))
}
