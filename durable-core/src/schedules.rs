//! The orders in which the engine's own threads can come: many random ones of group commit, of what waits and wakes,
//! and of whole runs (shuttle), and every one of the counters and of the signal (loom).
//! The one rule: the code under a schedule is the engine's own, with locks and threads from `sync`; only stores,
//! wakers and workflows are made up here. A schedule in which somebody waits for ever is found as such.
//! `just schedules` runs them. What shuttle and loom cannot see stays outside: files and SQLite, statics, `OnceLock`,
//! the machine's clock.

#[cfg(shuttle)]
mod commits;
#[cfg(loom)]
mod counters;
#[cfg(shuttle)]
mod explore;
#[cfg(shuttle)]
mod runs;
#[cfg(shuttle)]
mod waits;
