//! The attribute macros of `durable`: `step`, `workflow` and `allow`. Use them through the crate `durable`.
//!
//! One way leads through the crate: parse (`args`, `func`), check (`model`, `signature`, `determinism`),
//! expand. All mistakes of an item are found before anything is emitted, and reported together with the item,
//! so that an editor keeps working on it.
//! Knows the names of `durable::__private`, and nothing of what is behind them.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod determinism;
mod diag;
mod duration;
mod expand;
mod fingerprint;
mod func;
mod model;
mod paths;
mod returned;
mod signature;
#[cfg(test)]
mod tests;

use proc_macro2::{Span, TokenStream};

use args::{StepArgs, WorkflowArgs};
use diag::Diag;
use func::Func;

/// Makes a function a *step*: what it returns is recorded, and when its workflow runs again, the record is
/// returned and the body does not run.
///
/// The function keeps its signature and is called as before. Inside a run the result is stored before the
/// call returns it, under the key `<name>_<position>`: `charge_0`, `ship_1`. Outside a run, and inside
/// another step, the call is a plain call of the body: a unit test needs nothing of `durable`.
///
/// A body runs **at least once**: a crash between its effect and the record runs it again. Pass
/// `durable::idempotency_key()` to services that can tell a repeated request.
///
/// With `at_most_once` it runs **at most once**: that it begins is recorded before it does, and what it returned
/// takes the place of that record. A run that is resumed in between does not run it: the step fails with
/// `durable::StepFailed`, which says `is_interrupted()`, in the way that a step fails which panicked. That failure, and
/// any other of such a step, is not among those that a second call of a failed run tries again: ask the other side
/// what became of it, or have it run again on purpose with `Engine::rewind`. So it had better return a `Result` whose
/// error is `From<StepFailed>`: where the type has no room for a failure or a panic of such a step, and its panic leaves
/// the workflow, the run is halted at once, with `Error::FailedForGood`, since each other try would end the same. What
/// it returned is recorded even if the run was cancelled or paused meanwhile; an async one is dropped then, and was
/// interrupted. It costs a second commit. Called inside another step it is a part of that one, and runs as often as that.
///
/// # Where
///
/// On `fn` and `async fn`: free functions, methods (`&self`, `self`, `self: Arc<Self>`, …), associated
/// functions, methods in an `impl Trait for Type`, and trait methods with a default body. Generics, where
/// clauses, const generics, `impl Trait` arguments, borrowed arguments and patterns work; `?` and `return` do
/// what they do in any function. Other attributes stay on the function: `#[tracing::instrument]` above
/// `#[step]` makes a span only when the body runs, below it on every call.
///
/// # Options
///
/// | option | default | meaning |
/// |---|---|---|
/// | `name = "charge-card"` | the function's name | the name in keys, logs and queries; 1 to 128 bytes without spaces, dots and control characters. A recorded run finds its results by it: a renamed function keeps its runs by keeping its old name here |
/// | `retries = 5` | 0 | how often a failed attempt (an `Err`, a panic, a timeout) is repeated, 1 to 1,000,000; needs a `Result`. Each attempt gets a clone of every argument taken by value; `self` by value is refused |
/// | `backoff = "100ms..30s"` | `"100ms..30s"` | the pause before the first retry, and the longest one: it doubles from the one to the other, with full jitter. `"1s"` is `"1s..1s"`. Needs `retries` |
/// | `retry_if = is_transient` | every failure | a `fn(&E) -> bool`: an error for which it says `false` is final. Needs `retries` |
/// | `at_most_once` | off | the body never runs again once it has begun, see below. Not beside `retries` |
/// | `timeout = "30s"` | none | the longest time of one attempt; then its future is dropped, and the attempt has failed. `async fn` only, with an error type that is `From<durable::StepFailed>` |
/// | `args = ignore`, `args = record` | a fingerprint | what is stored of the arguments: nothing; or their JSON beside the fingerprint, for people to read (each argument must be `Serialize` then; the receiver is never written out) |
/// | `strict` | off | a call that no run knows is an error instead of a plain call |
/// | `crate = path::to::durable` | `::durable` | where the crate is, if it was renamed or is re-exported |
///
/// A duration is a whole number and a unit, `ms`, `s`, `m` or `h`, of at most 365 days.
///
/// By default a 64-bit *fingerprint* of each argument that is `Serialize`, the receiver included, is
/// recorded: when the same build replays with other arguments, the workflow is not deterministic, and the run
/// stops with both shown.
///
/// # What it can return
///
/// An owned `T`, or `Result<T, E>` under any name. `T` implements serde's `Serialize` and `Deserialize`. `E`
/// does too, or else it is `From<durable::StepFailed>` and `Display`, as `anyhow::Error` and
/// `Box<dyn Error + Send + Sync>` are; it is stored as its message then, and rebuilt from it, live as on
/// replay. A generic `T` needs the bound `durable::Value`. What the caller gets is always what was decoded
/// from the record.
///
/// # Errors
///
/// The compiler refuses, each with its reason and at its place: `const`, `unsafe`, `extern` and variadic
/// functions; `&mut` arguments and `&mut self`, because a replay would lose the change; borrowed and `impl
/// Trait` results; a trait method without a body; results, errors and recorded arguments that cannot be
/// stored; an argument without `Clone` in a step with `retries`; options that are unknown, repeated,
/// malformed, or in need of another one.
///
/// # Examples
/// ```
/// use durable::{Engine, step, workflow};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum OrderError {
///     Unreachable,
///     Declined,
/// }
///
/// fn is_transient(error: &OrderError) -> bool {
///     *error == OrderError::Unreachable
/// }
///
/// #[step(retries = 5, backoff = "200ms..30s", retry_if = is_transient)]
/// fn charge(card: &str, cents: u64) -> Result<String, OrderError> {
///     if card.is_empty() {
///         return Err(OrderError::Declined);
///     }
///     Ok(format!("{card}-{cents}"))
/// }
///
/// #[workflow]
/// fn pay(card: String) -> Result<String, OrderError> {
///     charge(&card, 700)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(charge("visa", 700), Ok("visa-700".to_owned())); // outside a run: a plain call
///
/// let engine = Engine::in_memory()?;
/// let receipt = pay::durable("order-123", "visa".into()).on(&engine).run().expect("a payment");
/// assert_eq!(receipt, "visa-700");
/// # Ok(())
/// # }
/// ```
#[proc_macro_attribute]
pub fn step(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_step(args.into(), item.into()).into()
}

/// Makes a function a *workflow*: a run of it survives a crash, and goes on where it stopped.
///
/// The function stays as it is, and a type of the same name appears beside it that carries the entry points:
///
/// | entry point | what it does |
/// |---|---|
/// | `fulfil::run_durable(id, order)` | runs the workflow under this id to its end, or goes on with it, or gives the stored result |
/// | `fulfil::resume(id)` | the same with the stored input |
/// | `fulfil::durable(id, order)` | a builder: `.on(&engine)`, then `.run()` |
///
/// They return `Result<T, durable::RunError<E>>` for a workflow that returns `Result<T, E>`, and
/// `Result<T, durable::RunError<Infallible>>` for any other; those of an `async fn` return futures of that. A
/// plain call, `fulfil(order)`, outside a run is the plain function; inside one it is a child of that run,
/// whose steps have positions below the call's.
///
/// `use orders::fulfil` imports the function and the type; a doc link to the function is written
/// `[fulfil()]`.
///
/// # Options
///
/// | option | default | meaning |
/// |---|---|---|
/// | `name = "fulfil-order"` | the function's name | the name that the store finds the workflow by; 1 to 128 bytes without spaces, dots and control characters. Unique in the program |
/// | `version = 2` | none | the version of this source, from 1; kept by the runs that it starts, which ask for it by `durable::version()` |
/// | `entry = Fulfil` | the function's name | the name of the type with the entry points, where a type or module of the function's name is there already: ``error[E0428]: the name `fulfil` is defined multiple times`` |
/// | `allow(clock, …)` | none | families of the lint below that are not refused in this workflow |
/// | `deny(io, env)` | none | families that are refused too |
/// | `crate = path::to::durable` | `::durable` | where the crate is, if it was renamed or is re-exported |
///
/// # Determinism
///
/// A body that runs again must take the same way, so what is known to differ is refused, with the durable way
/// to write it. Everything is welcome in a step.
///
/// | family | refused | instead |
/// |---|---|---|
/// | `clock` | `SystemTime::now`, `Instant::now`, `Utc::now`, … | `durable::now()` |
/// | `random` | `rand::random`, `rand::rng`, `Uuid::new_v4`, `fastrand`, … | `durable::random()`, `durable::uuid()` |
/// | `thread` | `thread::spawn`, `tokio::spawn`, `thread::sleep`, `tokio::time::sleep`, … | `durable::join`, `scope`, `map`; `durable::join!`, `future::join_all`; `durable::sleep` |
/// | `concurrency` | `tokio::join!`, `select!`, `FuturesUnordered`, `timeout`, rayon, … | the same; `durable::select!`, `race!`, `try_join!`, `timeout`, `unordered` |
/// | `blocking` | in `async fn` alone: `durable::sleep`, `durable::sleep_until` | `durable::future::sleep` and `sleep_until`, awaited |
/// | `io` (off) | `std::fs`, `File::open`, `TcpStream::connect`, `Command::new`, `reqwest`, … | a step |
/// | `env` (off) | `env::var`, `env::args`, `process::id`, … | an argument, or a step |
///
/// `#[durable::allow(clock)]` on a statement or an expression turns a family off for it. This is a lint by
/// names: it finds most slips and proves nothing. It does not see through `use … as …`, into functions that
/// the body calls, or that a `HashMap` is iterated; a replay that goes another way is found at run time.
///
/// # Errors
///
/// The compiler refuses, each with its reason and at its place: what a step refuses; `self` and generics,
/// because a workflow is found again by its name alone; more than 16 arguments, and arguments that are
/// borrowed, `impl Trait`, or not `Serialize` and `Deserialize`, because they are stored; a type that is a
/// `Result` under a name that does not end in `Result`, or the reverse; options that are unknown, repeated or
/// malformed. An associated function without `self` looks like a free one: rustc reports the type that it
/// cannot hold; move the workflow out of the `impl` block.
///
/// Two workflows of one name in a program are refused when an engine is opened. Doctests of edition 2024 are
/// merged into one program: give their workflows names of their own, or mark them `standalone_crate`.
///
/// # Examples
/// ```
/// use durable::{Engine, RunError, step, workflow};
///
/// #[step]
/// fn reserve(item: &str) -> Result<u64, String> {
///     item.len().try_into().map_err(|_| "too long".to_owned())
/// }
///
/// #[step]
/// async fn ship(reservation: u64) -> Result<String, String> {
///     Ok(format!("parcel {reservation}"))
/// }
///
/// #[workflow(name = "fulfil-order")]
/// async fn fulfil(item: String, gift: bool) -> Result<String, String> {
///     let reservation = reserve(&item)?;
///     let parcel = ship(reservation).await?;
///     Ok(if gift { format!("{parcel} with a bow") } else { parcel })
/// }
///
/// # durable::__private::doc::block_on(async {
/// let engine = Engine::in_memory()?;
/// let parcel = fulfil::durable("order-123", "lamp".into(), true).on(&engine).run().await;
/// assert_eq!(parcel.expect("a parcel"), "parcel 4 with a bow");
///
/// // The same id again: the stored result, and no step runs.
/// let again = fulfil::durable("order-123", "lamp".into(), true).on(&engine).run().await;
/// assert_eq!(again.expect("a parcel"), "parcel 4 with a bow");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).expect("an engine");
/// ```
#[proc_macro_attribute]
pub fn workflow(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_workflow(args.into(), item.into()).into()
}

/// Allows families of the determinism lint for one statement or expression of a workflow:
/// `#[durable::allow(clock)]`, `#[durable::allow(thread, concurrency)]`.
///
/// The families are those of `#[durable::workflow]`, which reads the attribute and takes it out.
///
/// # Errors
///
/// Anywhere else it has nothing to allow, and the compiler says so.
///
/// # Examples
/// ```
/// use std::time::Instant;
///
/// #[durable::workflow]
/// fn measured() -> u64 {
///     #[durable::allow(clock)]
///     let start = Instant::now(); // decides nothing
///     let orders = 3;
///     #[durable::allow(clock)]
///     let _elapsed = Instant::now() - start;
///     orders
/// }
/// assert_eq!(measured(), 3);
/// ```
#[proc_macro_attribute]
pub fn allow(_: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    refuse_allow(item.into()).into()
}

fn expand_step(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diag::default();
    let options = StepArgs::parse(args, &mut diag);
    let func = diag.keep(Func::parse("step", item.clone()));
    let step = func.and_then(|func| model::Step::new(options, func, &mut diag));
    emit(diag, step.map_or(item, |step| expand::step(&step)))
}

fn expand_workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diag::default();
    let options = WorkflowArgs::parse(args, &mut diag);
    let func = diag.keep(Func::parse("workflow", item.clone()));
    let workflow = func.and_then(|func| model::Workflow::new(options, func, &mut diag));
    emit(diag, workflow.map_or(item, |workflow| expand::workflow(&workflow)))
}

fn refuse_allow(item: TokenStream) -> TokenStream {
    let mut diag = Diag::default();
    let message = "`#[durable::allow]` can be placed on statements and expressions inside a workflow only; \
                   for a whole workflow, write `#[durable::workflow(allow(clock))]`";
    diag.refuse_at(Span::call_site(), message);
    emit(diag, item)
}

/// The mistakes, then the item.
fn emit(diag: Diag, item: TokenStream) -> TokenStream {
    let mut tokens = diag.into_compile_errors();
    tokens.extend(item);
    tokens
}
