//! Ordinary functions that survive crashes.
//!
//! Annotate plain functions, call the generated entry point, kill the process anywhere and call it again: it
//! goes on where it stopped. Finished steps give back their stored result, unfinished ones run.
//!
//! ```standalone_crate
//! use durable::{Engine, step, workflow};
//!
//! #[step(retries = 5, backoff = "200ms..30s")]
//! fn charge(order: &str) -> Result<u32, String> {
//!     Ok(order.len() as u32 * 100)
//! }
//!
//! #[step]
//! fn ship(order: &str, cents: u32) -> Result<String, String> {
//!     Ok(format!("{order}, paid {cents}"))
//! }
//!
//! #[workflow]
//! fn fulfil(order: String) -> Result<String, String> {
//!     let cents = charge(&order)?;
//!     ship(&order, cents)
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::in_memory()?; // `durable::open("orders.db")?` for a program that lives longer
//! let tracking = fulfil::durable("order-123", "lamp".into()).on(&engine).run()?;
//! assert_eq!(tracking, "lamp, paid 400");
//! # Ok(())
//! # }
//! ```

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "sqlite")]
pub use durable_core::open;
#[doc(inline)]
pub use durable_core::{
    Alarm, AsyncRunBuilder, Branch, Branches, Builder, Clock, Difference, Divergence, Durability, Engine,
    EngineGuard, Error, Event, FailureKind, HISTORY_BYTES_MAX, Handle, HandleFuture, InputMismatch,
    InvalidId, NAME_BYTES_MAX, Operation, Overlap, PAYLOAD_BYTES_MAX, PAYLOAD_WARN_BYTES, Position,
    RECOVERIES_MAX, Random, RunBuilder, RunError, RunFuture, RunStatus, Runs, STEPS_MAX, Site, StartFuture,
    StepFailed, StepKey, SystemClock, TestClock, Timestamp, Topic, Undecodable, Unstorable, Unstructured,
    Value, WORKERS_MAX, WORKFLOW_ID_BYTES_MAX, WorkflowId, cancelled, future, get_event, idempotency_key,
    join, map, now, random, recv, resource, scope, send, send_once, set_event, set_global, sleep,
    sleep_until, store, try_resource, uuid,
};

#[cfg(feature = "macros")]
pub use durable_macros::{allow, step, workflow};

/// What the macros' expansions name. No promise is made for any of it.
#[doc(hidden)]
pub mod __private {
    pub use durable_core::private::*;
}

/// Awaits 1 to 12 futures at once, and returns what they return as a tuple.
///
/// In a workflow it takes one position, and future `i` is branch `i` of it: its steps have positions below
/// `<position>.i`, whatever the order they run in. Elsewhere it only awaits them. Works under any executor.
///
/// # Panics
/// Once all have ended, with the panic of the first of them that panicked.
///
/// # Examples
/// ```
/// # async fn laptop() -> u32 { 1 }
/// # async fn access() -> u32 { 2 }
/// # durable::__private::doc::block_on(async {
/// let (laptop, access) = durable::join!(laptop(), access());
/// assert_eq!((laptop, access), (1, 2));
/// # });
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),+ $(,)?) => {
        $crate::__private::join_tuple(
            $crate::__private::Site { file: ::core::file!(), line: ::core::line!() },
            ($($future,)+),
        )
        .await
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
