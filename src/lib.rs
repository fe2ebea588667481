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
    Alarm, AsyncRunBuilder, Branch, Branches, Builder, Bulk, Checked, Clock, Difference, Divergence,
    Durability, Elapsed, Engine, EngineGuard, Error, Event, FailureKind, Filter, Finding, ForkRefused,
    HISTORY_BYTES_MAX, Handle, HandleFuture, InputMismatch, InvalidId, NAME_BYTES_MAX, Next, Operation,
    Overlap, PAYLOAD_BYTES_MAX, PAYLOAD_WARN_BYTES, Position, RECOVERIES_MAX, REFUSALS_MAX, Race, Random,
    RunBuilder, RunError, RunFuture, RunHistory, RunStatus, Runs, STEPS_MAX, Site, StartFuture, StepFailed,
    StepKey, SystemClock, TestClock, Timeout, Timestamp, Topic, Undecodable, Unordered, Unstorable,
    Unstructured, Value, WORKERS_MAX, WORKFLOW_ID_BYTES_MAX, WorkflowId, cancelled, future, get_event,
    idempotency_key, join, map, now, patched, race, random, recv, resource, scope, send, send_once,
    set_event, set_global, shield, sleep, sleep_until, store, timeout, try_resource, unordered, uuid,
    version,
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
    (
        $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr, $g:expr, $h:expr, $i:expr, $j:expr, $k:expr, $l:expr,
        $m:expr $(, $($rest:tt)*)?
    ) => {
        ::core::compile_error!(
            "`durable::join!` takes 12 futures at most; await more of one type with `durable::future::join_all`, or put \
             some of them into a `join!` of their own"
        )
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__private::join_tuple(
            $crate::__private::Site { file: ::core::file!(), line: ::core::line!() },
            ($($future,)+),
        )
        .await
    };
}

/// Awaits 1 to 12 futures at once, and returns what they return as a tuple, or the first error that one of them
/// ends in; all have one type of error. Then the others are dropped where they stand.
///
/// As [`future::try_join_all`], which has any number of futures of one type, and tells what is recorded.
///
/// # Errors
/// The first error, by the time at which it came.
///
/// # Panics
/// With the panic of the branch that failed first, if it did in a panic.
///
/// # Examples
/// ```
/// # async fn laptop() -> Result<u32, String> { Ok(1) }
/// # async fn access() -> Result<String, String> { Err("no desk".into()) }
/// # durable::__private::doc::block_on(async {
/// assert_eq!(durable::try_join!(laptop(), laptop()), Ok((1, 1)));
/// assert_eq!(durable::try_join!(laptop(), access()), Err("no desk".into()));
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    (@arms [$($letter:ident)*] [$(($won:ident, $future:expr))+]) => {{
        let ended = $crate::__private::try_join_tuple(
            $crate::__private::Site { file: ::core::file!(), line: ::core::line!() },
            ($($future,)+),
        )
        .await;
        match ended {
            ::core::result::Result::Ok(all) => ::core::result::Result::Ok(all),
            $(::core::result::Result::Err($crate::__private::Won::$won(error)) => ::core::result::Result::Err(error),)+
        }
    }};
    (@arms [] [$($arms:tt)*] $($more:tt)+) => {
        ::core::compile_error!(
            "`durable::try_join!` takes 12 futures at most; await more of one type with `durable::future::try_join_all`, or \
             put some of them into a `try_join!` of their own"
        )
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $future:expr $(, $($rest:expr),*)?) => {
        $crate::try_join!(@arms [$($letters)*] [$($arms)* ($letter, $future)] $($($rest),*)?)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::try_join!(@arms [A B C D E F G H I J K L] [] $($future),+)
    };
}

/// Awaits the first of 1 to 12 futures that ends, and returns what it returns; all have one output. The others
/// are dropped where they stand.
///
/// As [`race`](fn@race), which has any number of futures of one type, and tells what is recorded.
///
/// # Panics
/// With the panic of the branch that ended first, if it did in a panic.
///
/// # Examples
/// ```
/// # async fn ask(mirror: u32) -> u32 { mirror }
/// # async fn never() -> u32 { std::future::pending().await }
/// # durable::__private::doc::block_on(async {
/// let answer = durable::race!(never(), ask(2));
/// assert_eq!(answer, 2);
/// # });
/// ```
#[macro_export]
macro_rules! race {
    (@arms [$($letter:ident)*] [$($arms:tt)*]) => {
        $crate::__race!("race", $($arms)*)
    };
    (@arms [] [$($arms:tt)*] $($more:tt)+) => {
        ::core::compile_error!(
            "`durable::race!` takes 12 futures at most; race more of one type with `durable::race`, or put some of them into \
             a `race!` of their own"
        )
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $future:expr $(, $($rest:expr),*)?) => {
        $crate::race!(@arms [$($letters)*] [$($arms)* ($letter, won, $future, won)] $($($rest),*)?)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::race!(@arms [A B C D E F G H I J K L] [] $($future),+)
    };
}

/// Awaits the race of the futures of these arms, and goes on with the arm of the winner.
#[doc(hidden)]
#[macro_export]
macro_rules! __race {
    ($name:literal, $(($letter:ident, $pattern:pat, $future:expr, $then:expr))+) => {{
        let ended = $crate::__private::race_tuple(
            $name,
            $crate::__private::Site { file: ::core::file!(), line: ::core::line!() },
            ($($future,)+),
        )
        .await;
        match ended {
            // A `let`, since its pattern is what the compiler shows then if it does not fit all values.
            $($crate::__private::Won::$letter(output) => {
                let $pattern = output;
                $then
            })+
        }
    }};
}

/// Awaits the first of 1 to 12 futures that ends, and goes on with its arm, `pattern = future => expression`. The
/// other futures are dropped where they stand.
///
/// As [`race`](fn@race), which tells what is recorded; the futures can differ in what they return. The expression
/// is no part of the branch: it belongs to what is around the `select!`, so it can use `?`, `return` and
/// `break`, and what it calls takes the positions that follow. Its pattern has to fit whatever the future
/// returns: take that apart in the expression.
///
/// # Panics
/// With the panic of the branch that ended first, if it did in a panic.
///
/// # Examples
/// ```
/// # async fn paid() -> u32 { 4_200 }
/// # async fn cancelled() -> String { std::future::pending().await }
/// # durable::__private::doc::block_on(async {
/// let told = durable::select! {
///     cents = paid() => format!("paid {cents}"),
///     why = cancelled() => why,
/// };
/// assert_eq!(told, "paid 4200");
/// # });
/// ```
#[macro_export]
macro_rules! select {
    (@arms [$($letter:ident)*] [$($arms:tt)*]) => {
        $crate::__race!("select", $($arms)*)
    };
    (@arms [$($letters:ident)*] [$($arms:tt)*] biased; $($rest:tt)*) => {
        ::core::compile_error!(
            "`durable::select!` has no `biased;`: its futures are polled in the order in which they are written; leave it out"
        )
    };
    (@arms [$($letters:ident)*] [$($arms:tt)*] else => $($rest:tt)*) => {
        ::core::compile_error!(
            "`durable::select!` has no `else`: every arm takes whatever its future returns, so one of them always ends it; \
             take what does not fit apart in the expression of its arm"
        )
    };
    (@arms [] [$($arms:tt)*] $($more:tt)+) => {
        ::core::compile_error!(
            "`durable::select!` takes 12 arms at most; race futures of one type with `durable::race`, or put some of them \
             into a `select!` of their own"
        )
    };
    (@arms [$($letters:ident)*] [$($arms:tt)*] $pattern:pat = $future:expr, if $($rest:tt)*) => {
        ::core::compile_error!(
            "an arm of `durable::select!` cannot have an `if`: a replay has to find as many branches as were recorded; \
             await a future that never ends where the condition does not hold: \
             `async { if condition { future.await } else { ::std::future::pending().await } }`"
        )
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $pattern:pat = $future:expr => $then:block, $($rest:tt)*) => {
        $crate::select!(@arms [$($letters)*] [$($arms)* ($letter, $pattern, $future, $then)] $($rest)*)
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $pattern:pat = $future:expr => $then:block $($rest:tt)*) => {
        $crate::select!(@arms [$($letters)*] [$($arms)* ($letter, $pattern, $future, $then)] $($rest)*)
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $pattern:pat = $future:expr => $then:expr) => {
        $crate::select!(@arms [$($letters)*] [$($arms)* ($letter, $pattern, $future, $then)])
    };
    (@arms [$letter:ident $($letters:ident)*] [$($arms:tt)*] $pattern:pat = $future:expr => $then:expr, $($rest:tt)*) => {
        $crate::select!(@arms [$($letters)*] [$($arms)* ($letter, $pattern, $future, $then)] $($rest)*)
    };
    ($($arms:tt)+) => {
        $crate::select!(@arms [A B C D E F G H I J K L] [] $($arms)+)
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
