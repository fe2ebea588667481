//! The engine behind `durable`: positions, replay, the step store and its commits.
//! Use the `durable` crate; this one makes no promises of its own about names.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod background;
mod build;
mod call;
mod check;
mod circle;
mod clock;
mod concurrent;
mod control;
mod core;
mod draw;
mod engine;
mod entry;
mod errand;
mod error;
mod events;
mod executor;
mod failed;
mod fingerprint;
mod fork;
mod handle;
mod held;
mod history;
mod invoke;
mod key;
mod lookout;
mod mail;
mod memo;
mod moments;
#[cfg(feature = "sqlite")]
mod opened;
mod outcome;
#[cfg(feature = "sqlite")]
mod owner;
mod parallel;
mod patch;
mod poll;
mod pool;
pub mod private;
mod probe;
mod racing;
mod registry;
mod retry;
mod run;
mod runtime;
mod scheduler;
#[cfg(all(test, any(shuttle, loom)))]
mod schedules;
mod scope;
mod shield;
mod signal;
mod sleep;
pub mod store;
mod sync;
mod trace;
mod waits;

pub use crate::background::WORKERS_MAX;
pub use crate::check::{Checked, Finding};
pub use crate::clock::{Alarm, Clock, SystemClock, TestClock, Timestamp};
pub use crate::control::{Bulk, REFUSALS_MAX};
#[cfg(feature = "sqlite")]
pub use crate::engine::open;
pub use crate::engine::{
    Builder, Engine, EngineGuard, HISTORY_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_WARN_BYTES, RECOVERIES_MAX,
    RunHistory, Runs, STEPS_MAX, set_global,
};
pub use crate::error::{
    Difference, Divergence, Error, ForkRefused, InputMismatch, Operation, Overlap, RunError, Unstructured,
};
pub use crate::events::{Event, get_event, set_event};
pub use crate::failed::{FailureKind, StepFailed};
pub use crate::handle::{Handle, HandleFuture};
pub use crate::invoke::{AsyncRunBuilder, RunBuilder, RunFuture, StartFuture};
pub use crate::key::{InvalidId, Position, Site, StepKey, WORKFLOW_ID_BYTES_MAX, WorkflowId};
pub use crate::mail::{NAME_BYTES_MAX, Topic, recv, send, send_once};
pub use crate::moments::{
    Random, cancelled, idempotency_key, now, random, resource, try_resource, uuid, version,
};
pub use crate::outcome::{Undecodable, Unstorable};
pub use crate::parallel::{Branch, Branches, join, map, scope};
pub use crate::patch::patched;
pub use crate::probe::Value;
pub use crate::racing::{Elapsed, Next, Race, Timeout, Unordered, race, timeout, unordered};
pub use crate::shield::shield;
pub use crate::sleep::{sleep, sleep_until};
pub use crate::store::{Durability, Filter, RunStatus};

#[doc(hidden)]
pub use crate::private::doc;

/// What a workflow that is an async function awaits: branches, sleeps, messages and events.
pub mod future {
    pub use crate::concurrent::{JoinAll, Map, join_all, map};
    pub use crate::events::{get_event_polled as get_event, set_event_polled as set_event};
    pub use crate::mail::{recv_polled as recv, send_once_polled as send_once, send_polled as send};
    pub use crate::racing::{TryJoinAll, try_join_all};
    pub use crate::shield::shield_polled as shield;
    pub use crate::sleep::{sleep_polled as sleep, sleep_until_polled as sleep_until};
}
