//! Every form that a step can have: in a workflow it is recorded and does not run again, outside a run and
//! inside another step
//! it is a plain call. Each form is a module, each promise a test of it; what ran is counted in the engine's
//! log.

#![expect(
    clippy::non_minimal_cfg,
    clippy::trivially_copy_pass_by_ref,
    reason = "forms that a user may write, whatever clippy thinks of them"
)]

mod support;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use durable::{Engine, Error, RunError, StepFailed, Value, step, workflow};
use serde::{Deserialize, Serialize};
use support::{Log, Switches, engine, keys};

/// Where the workflow of a form calls it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Place {
    Body,
    OtherStep,
}

/// A step after the form's, so that a failure of the form's is one that the workflow has handled.
#[step]
fn after() {}

/// The end of every workflow here: once interrupted, next time not.
fn end() {
    after();
    assert!(!Switches::is_set("interrupt"), "interrupted");
}

type Shown = Result<String, RunError<Infallible>>;

/// Interrupts the run at its end, and runs it again: only the record can tell the second one the result.
#[track_caller]
fn check_recorded(run: impl Fn(&Engine, Place) -> Shown, key: &str, shown: &str) {
    let (engine, log, switches) = engine();
    switches.set("interrupt");
    let interrupted = run(&engine, Place::Body).unwrap_err();
    assert!(matches!(interrupted, RunError::Engine(Error::Panicked { .. })), "{interrupted}");
    assert_eq!(keys(&engine, "form"), [key, "after_1"]);
    assert_eq!(log.take(), ["ran"]);
    switches.clear();
    assert_eq!(run(&engine, Place::Body).unwrap(), shown);
    assert!(log.lines().is_empty(), "a recorded step does not run again");
    assert_eq!(keys(&engine, "form"), [key, "after_1"]);
}

#[track_caller]
fn check_plain_outside(call: impl Fn() -> String, shown: &str) {
    let (engine, log, _) = engine();
    let _entered = engine.enter();
    assert_eq!((call(), call()), (shown.to_owned(), shown.to_owned()));
    assert_eq!(log.lines(), ["ran", "ran"]);
    assert_eq!(engine.runs().count(), 0);
}

#[track_caller]
fn check_plain_inside(run: impl Fn(&Engine, Place) -> Shown, shown: &str) {
    let (engine, log, _) = engine();
    assert_eq!(run(&engine, Place::OtherStep).unwrap(), shown);
    assert_eq!(keys(&engine, "form"), ["around_0", "after_1"], "only the outer step is recorded");
    assert_eq!(log.lines(), ["ran"]);
}

/// The three promises for one call of a form: its key, and how its value shows.
macro_rules! form {
    ($form:ident, $key:literal, $call:expr => $shown:literal) => {
        mod $form {
            use super::*;

            #[step]
            fn around() -> String {
                let value = $call;
                format!("{value:?}")
            }

            #[workflow]
            fn $form(place: Place) -> String {
                let shown = match place {
                    Place::Body => format!("{:?}", $call),
                    Place::OtherStep => around(),
                };
                end();
                shown
            }

            fn run(engine: &Engine, place: Place) -> Shown {
                $form::durable("form", place).on(engine).run()
            }

            #[test]
            fn is_recorded_and_does_not_run_again() {
                check_recorded(run, $key, $shown);
            }

            #[test]
            fn is_a_plain_call_outside_a_run() {
                check_plain_outside(|| format!("{:?}", $call), $shown);
            }

            #[test]
            fn is_a_plain_call_inside_another_step() {
                check_plain_inside(run, $shown);
            }
        }
    };
    (async $form:ident, $key:literal, $call:expr => $shown:literal) => {
        mod $form {
            use super::*;

            #[step]
            async fn around() -> String {
                let value = $call.await;
                format!("{value:?}")
            }

            #[workflow]
            async fn $form(place: Place) -> String {
                let shown = match place {
                    Place::Body => {
                        let value = $call.await;
                        format!("{value:?}")
                    }
                    Place::OtherStep => around().await,
                };
                end();
                shown
            }

            fn run(engine: &Engine, place: Place) -> Shown {
                smol::block_on($form::durable("form", place).on(engine).run())
            }

            #[test]
            fn is_recorded_and_does_not_run_again() {
                check_recorded(run, $key, $shown);
            }

            #[test]
            fn is_a_plain_call_outside_a_run() {
                check_plain_outside(|| format!("{:?}", smol::block_on(async { $call.await })), $shown);
            }

            #[test]
            fn is_a_plain_call_inside_another_step() {
                check_plain_inside(run, $shown);
            }
        }
    };
}

fn ran() {
    Log::note("ran");
}

async fn ran_later() {
    smol::future::yield_now().await;
    ran();
}

// Free functions, and what their arguments can be.

#[step]
fn free(cents: u64) -> u64 {
    ran();
    cents + 1
}
form!(a_free_function, "free_0", free(1) => "2");

#[step]
async fn free_async(cents: u64) -> u64 {
    ran_later().await;
    cents + 1
}
form!(async an_async_function, "free_async_0", free_async(1) => "2");

#[step]
fn without_a_value() {
    ran();
}
form!(a_function_without_a_value, "without_a_value_0", without_a_value() => "()");

#[step]
async fn without_a_value_async() {
    ran_later().await;
}
form!(async an_async_function_without_a_value, "without_a_value_async_0", without_a_value_async() => "()");

#[step]
fn references(name: &str, numbers: &[u32], tail: Option<&String>) -> String {
    ran();
    format!("{name} {numbers:?} {tail:?}")
}
form!(reference_arguments, "references_0", references("ada", &[1, 2], Some(&"end".to_owned()))
    => r#""ada [1, 2] Some(\"end\")""#);

#[step]
async fn references_async(name: &str, numbers: &[u32]) -> String {
    ran_later().await;
    format!("{name} {numbers:?}")
}
form!(async async_reference_arguments, "references_async_0", references_async("ada", &[1, 2])
    => r#""ada [1, 2]""#);

struct Point {
    x: u32,
    y: u32,
}

#[step]
fn patterns((a, b): (u32, u32), Point { x, y: up }: Point, [first, ..]: [u32; 3], _: u32, &c: &u32) -> u32 {
    ran();
    a + b + x + up + first + c
}
form!(pattern_arguments, "patterns_0", patterns((1, 2), Point { x: 10, y: 20 }, [100, 0, 0], 5, &1000) => "1133");

#[step]
async fn patterns_async((a, b): (u32, u32), mut whole @ Point { .. }: Point) -> u32 {
    whole.x += 1;
    ran_later().await;
    a + b + whole.x + whole.y
}
form!(async async_pattern_arguments, "patterns_async_0", patterns_async((1, 2), Point { x: 10, y: 20 }) => "34");

#[step]
fn mutable(mut sum: u32, mut names: Vec<&str>) -> (u32, usize) {
    ran();
    sum += 1;
    names.push("more");
    (sum, names.len())
}
form!(mut_arguments, "mutable_0", mutable(1, vec!["one"]) => "(2, 2)");

#[step(retries = 1)]
fn mutable_retried(mut sum: u32, mut names: Vec<&str>) -> Result<(u32, usize), String> {
    ran();
    sum += 1;
    names.push("more");
    Ok((sum, names.len()))
}
form!(mut_arguments_of_a_retried_step, "mutable_retried_0", mutable_retried(1, vec!["one"]) => "Ok((2, 2))");

#[step]
fn implementors(shown: impl Display, twice: impl Fn(u32) -> u32, each: &dyn Fn() -> u32) -> String {
    ran();
    format!("{shown} {} {}", twice(2), each())
}
form!(impl_trait_arguments, "implementors_0", implementors('x', |n| n * 2, &|| 7) => r#""x 4 7""#);

#[step]
async fn implementors_async(shown: impl Display, twice: impl AsyncFn(u32) -> u32) -> String {
    ran_later().await;
    format!("{shown} {}", twice(2).await)
}

form!(async an_async_closure_argument, "implementors_async_0", implementors_async('x', async |n| n * 2)
    => r#""x 4""#);

/// An argument that cannot be serialized, cloned or sent.
struct Opaque(Rc<u32>);

#[step]
fn opaque(all: &Opaque, own: Opaque) -> u32 {
    ran();
    *all.0 + *own.0
}
form!(arguments_that_cannot_be_stored, "opaque_0", opaque(&Opaque(Rc::new(1)), Opaque(Rc::new(2))) => "3");

#[step]
fn conditional(a: u32, #[cfg(any())] b: Missing, #[cfg(all())] c: u32) -> u32 {
    ran();
    a + c
}
form!(cfg_arguments, "conditional_0", conditional(1, 2) => "3");

// Generics and lifetimes.

#[step]
fn generic<T, const N: usize>(all: [T; N]) -> Vec<T>
where
    T: Value + Clone,
{
    ran();
    all.to_vec()
}
form!(generics_with_a_where_clause_and_a_const, "generic_0", generic(['a', 'b']) => "['a', 'b']");

#[step]
async fn generic_async<T: Value + Clone, E>(value: Option<T>, error: E) -> Result<T, E>
where
    E: From<StepFailed> + Display,
{
    ran_later().await;
    value.ok_or(error)
}
form!(async async_generics, "generic_async_0", async { generic_async(Some(1_u8), std::io::Error::other("no")).await.unwrap() }
    => "1");

#[step]
fn lifetimes<'a: 'b, 'b, T: ?Sized + Display>(long: &'a str, short: &'b T) -> String {
    ran();
    format!("{long} {short}")
}
form!(explicit_lifetimes, "lifetimes_0", lifetimes("a", "b") => r#""a b""#);

struct View<'a>(&'a str);

#[step]
fn hidden_lifetime(view: View<'_>) -> Cow<'_, str> {
    ran();
    Cow::Borrowed(view.0)
}
form!(a_cow_of_an_argument, "hidden_lifetime_0", hidden_lifetime(View("a")) => r#""a""#);

#[step]
async fn cow_async<'a>(text: &'a str) -> Cow<'a, str> {
    ran_later().await;
    Cow::Borrowed(text)
}
form!(async an_async_cow, "cow_async_0", cow_async("a") => r#""a""#);

// Names.

#[step]
fn r#type(r#match: u32) -> u32 {
    ran();
    r#match
}
form!(raw_names, "type_0", r#type(1) => "1");

#[step]
fn größe(maß: u32) -> u32 {
    ran();
    maß
}
form!(names_beyond_ascii, "größe_0", größe(1) => "1");

// Methods.

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Till(u64);

impl Till {
    const MORE: u64 = 10;

    #[step]
    fn by_reference(&self, cents: u64) -> u64 {
        ran();
        self.0 + cents
    }

    #[step]
    async fn by_reference_async(&self, cents: &u64) -> u64 {
        ran_later().await;
        self.0 + cents
    }

    #[step]
    fn by_value(self) -> Self {
        ran();
        Self(self.0 + Self::MORE)
    }

    #[step]
    async fn by_mut_value(mut self) -> Self {
        self.0 += 1;
        ran_later().await;
        self
    }

    #[step]
    fn shared(self: Arc<Self>) -> u64 {
        ran();
        self.0
    }

    #[step]
    fn boxed(self: Box<Self>) -> Self {
        ran();
        *self
    }

    #[step]
    async fn behind(self: &Arc<Self>) -> u64 {
        ran_later().await;
        self.0
    }

    #[step]
    fn associated(cents: u64) -> Self {
        ran();
        Self(cents)
    }
}
form!(a_method, "by_reference_0", Till(1).by_reference(2) => "3");
form!(async an_async_method, "by_reference_async_0", async { Till(1).by_reference_async(&2).await } => "3");
form!(a_method_by_value, "by_value_0", Till(1).by_value() => "Till(11)");
form!(async a_method_by_mut_value, "by_mut_value_0", Till(1).by_mut_value() => "Till(2)");
form!(a_method_of_an_arc, "shared_0", Arc::new(Till(1)).shared() => "1");
form!(a_method_of_a_box, "boxed_0", Box::new(Till(1)).boxed() => "Till(1)");
form!(async a_method_of_a_borrowed_arc, "behind_0", async { Arc::new(Till(1)).behind().await } => "1");
form!(an_associated_function, "associated_0", Till::associated(1) => "Till(1)");

struct Drawer<T, const N: usize>([T; N]);

impl<T: Value + Clone, const N: usize> Drawer<T, N> {
    #[step]
    fn all(&self) -> Vec<T> {
        ran();
        self.0.to_vec()
    }
}
form!(a_method_of_a_generic_type, "all_0", Drawer([1, 2]).all() => "[1, 2]");

trait Gateway {
    const FEE: u64;

    fn fee(&self) -> u64;

    fn charge(&self, cents: u64) -> impl Future<Output = u64> + Send;

    async fn refund(&self, cents: u64) -> Result<u64, String>;

    #[step]
    fn total(&self, cents: u64) -> u64 {
        ran();
        cents + Self::FEE
    }

    #[step]
    async fn total_async(&self, cents: u64) -> u64
    where
        Self: Sync,
    {
        ran_later().await;
        cents + Self::FEE
    }
}

impl Gateway for Till {
    const FEE: u64 = 5;

    #[step]
    fn fee(&self) -> u64 {
        ran();
        Self::FEE + self.0
    }

    #[step]
    async fn charge(&self, cents: u64) -> u64 {
        ran_later().await;
        self.0 + cents
    }

    #[step]
    async fn refund(&self, cents: u64) -> Result<u64, String> {
        ran_later().await;
        cents.checked_sub(self.0).ok_or_else(|| "too little".to_owned())
    }
}
form!(a_trait_method, "fee_0", Till(1).fee() => "6");
form!(async a_trait_method_that_returns_a_future, "charge_0", async { Till(1).charge(2).await } => "3");
form!(async a_native_async_trait_method, "refund_0", async { Till(1).refund(2).await } => "Ok(1)");
form!(a_default_method, "total_0", Till(1).total(1) => "6");
form!(async an_async_default_method, "total_async_0", async { Till(1).total_async(1).await } => "6");

trait Sends {
    fn send(&self) -> u64;
}

impl Sends for Till {
    #[step]
    fn send(&self) -> u64 {
        ran();
        self.0
    }
}

fn dynamic() -> Box<dyn Sends> {
    Box::new(Till(1))
}
form!(a_method_behind_a_trait_object, "send_0", dynamic().send() => "1");

// Bodies.

#[step]
fn question_mark(text: &str) -> Result<u32, String> {
    ran();
    let number: u32 = text.parse().map_err(|_| "no number")?;
    Ok(number)
}
form!(a_question_mark_that_passes, "question_mark_0", question_mark("1") => "Ok(1)");
form!(a_question_mark_that_returns, "question_mark_0", question_mark("x") => r#"Err("no number")"#);

#[step]
async fn question_mark_async(text: &str) -> Result<u32, String> {
    ran_later().await;
    let number: u32 = text.parse().map_err(|_| "no number")?;
    if number > 1 {
        return Err("too much".into());
    }
    Ok(number)
}
form!(async an_async_question_mark, "question_mark_async_0", question_mark_async("x") => r#"Err("no number")"#);
form!(async an_async_early_return, "question_mark_async_0", question_mark_async("2") => r#"Err("too much")"#);

#[step]
fn option_question_mark(text: Option<&str>) -> Option<usize> {
    ran();
    let text = text?;
    if text.is_empty() {
        return None;
    }
    Some(text.len())
}
form!(an_early_return_of_none, "option_question_mark_0", option_question_mark(Some("")) => "None");

#[step]
fn nested_items(n: u32) -> u32 {
    use std::cmp::max as larger;
    const LEAST: u32 = 3;
    fn double(n: u32) -> u32 {
        n * 2
    }
    ran();
    'outer: loop {
        for i in 0.. {
            if i > n {
                break 'outer;
            }
        }
    }
    larger(double(n), LEAST)
}
form!(a_body_with_items_of_its_own, "nested_items_0", nested_items(1) => "3");

#[step]
async fn recursive(n: u32) -> u32 {
    if n == 0 {
        ran();
        0
    } else {
        Box::pin(recursive(n - 1)).await + 1
    }
}
form!(async a_recursive_async_step, "recursive_0", recursive(3) => "3");

// What stands beside the attribute.

/// Documented.
#[step]
#[must_use]
#[inline]
#[cfg(all())]
fn attributes(n: u32) -> u32 {
    ran();
    n
}

#[step]
#[cfg(any())]
fn attributes(n: Missing) -> Missing {
    n
}
form!(attributes_below, "attributes_0", attributes(1) => "1");

#[must_use]
#[cfg(all())]
#[step]
fn attributes_before(n: u32) -> u32 {
    #![expect(unused_variables, reason = "an inner attribute is the body's")]
    let unused = 1;
    ran();
    n
}
form!(attributes_above, "attributes_before_0", attributes_before(1) => "1");

#[tracing::instrument]
#[step]
fn instrument_above(n: u32) -> u32 {
    ran();
    n
}
form!(instrument_above_the_step, "instrument_above_0", instrument_above(1) => "1");

#[step]
#[tracing::instrument(skip_all, fields(n))]
fn instrument_below(n: u32) -> Result<u32, String> {
    ran();
    Ok(n)
}
form!(instrument_below_the_step, "instrument_below_0", instrument_below(1) => "Ok(1)");

#[tracing::instrument(err)]
#[step(retries = 1)]
async fn instrument_above_async(n: u32) -> Result<u32, String> {
    ran_later().await;
    Ok(n)
}
form!(async instrument_above_an_async_step, "instrument_above_async_0", instrument_above_async(1) => "Ok(1)");

#[step]
#[tracing::instrument(ret)]
async fn instrument_below_async(n: u32) -> u32 {
    ran_later().await;
    n
}
form!(async instrument_below_an_async_step, "instrument_below_async_0", instrument_below_async(1) => "1");

// Options.

#[step(name = "charge-card")]
fn named(n: u32) -> u32 {
    ran();
    n
}
form!(the_option_name, "charge-card_0", named(1) => "1");

fn is_temporary(error: &str) -> bool {
    error == "temporary"
}

#[step(retries = 3, backoff = "1ms..2ms", retry_if = is_temporary, args = ignore, crate = ::durable)]
fn all_options(n: u32) -> Result<u32, Box<str>> {
    ran();
    Err(format!("for good {n}").into())
}
form!(the_options_of_a_function, "all_options_0", all_options(1) => r#"Err("for good 1")"#);

#[step(name = "late", retries = 3, backoff = "1ms", timeout = "1h", retry_if = StepFailed::is_late, args = record)]
async fn all_async_options(n: u32) -> Result<u32, StepFailed> {
    ran_later().await;
    Ok(n)
}

trait IsLate {
    fn is_late(&self) -> bool;
}

impl IsLate for StepFailed {
    fn is_late(&self) -> bool {
        self.kind() == durable::FailureKind::Timeout
    }
}
form!(async the_options_of_an_async_function, "late_0", all_async_options(1) => "Ok(1)");

#[step(args = record)]
fn recorded_arguments((a, b): (u32, &str), c: &[Option<bool>]) -> String {
    ran();
    format!("{a} {b} {c:?}")
}
form!(recorded_arguments_of_every_kind, "recorded_arguments_0", recorded_arguments((1, "x"), &[None])
    => r#""1 x [None]""#);

#[step(strict)]
fn strict(n: u32) -> Result<u32, StepFailed> {
    ran();
    Ok(n)
}

#[step]
fn around_strict() -> u32 {
    strict(1).unwrap()
}

#[workflow]
fn strictly(place: Place) -> String {
    let value = match place {
        Place::Body => strict(1).unwrap(),
        Place::OtherStep => around_strict(),
    };
    end();
    value.to_string()
}

#[test]
fn a_strict_step_is_recorded_in_a_run_and_an_error_outside() {
    check_recorded(|engine, place| strictly::durable("form", place).on(engine).run(), "strict_0", "1");
    let (engine, log, _) = engine();
    let _entered = engine.enter();
    let failed = strict(1).unwrap_err();
    assert_eq!(failed.kind(), durable::FailureKind::Unowned);
    assert!(failed.to_string().contains("step `strict` (tests/step_forms.rs:"), "{failed}");
    assert!(log.lines().is_empty(), "it did not run");
}

// Steps in other places.

mod inner {
    use super::*;

    #[step]
    pub(super) fn in_a_module(n: u32) -> u32 {
        ran();
        n
    }
}
use inner::in_a_module as under_another_name;
form!(a_step_of_a_module, "in_a_module_0", under_another_name(1) => "1");

macro_rules! declare {
    ($name:ident($($arg:ident: $ty:ty),*) -> $returned:ty $body:block) => {
        #[step]
        fn $name($($arg: $ty),*) -> $returned $body
    };
}
declare!(from_a_macro(n: u32, m: &u32) -> Result<u32, String> {
    ran();
    Ok(n + *m)
});
form!(a_step_from_a_macro, "from_a_macro_0", from_a_macro(1, &2) => "Ok(3)");

#[workflow]
fn with_local_steps() -> Vec<Local> {
    #[step]
    fn local(n: u32) -> Local {
        ran();
        Local { n }
    }
    let all = [1, 1].map(local).to_vec();
    end();
    all
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Clone)]
struct Local {
    n: u32,
}

#[test]
fn a_step_can_be_declared_in_a_function_and_passed_as_a_value() {
    let (engine, log, switches) = engine();
    switches.set("interrupt");
    with_local_steps::durable("x").on(&engine).run().unwrap_err();
    switches.clear();
    assert_eq!(with_local_steps::durable("x").on(&engine).run().unwrap(), [Local { n: 1 }, Local { n: 1 }]);
    assert_eq!(log.lines(), ["ran", "ran"]);
    assert_eq!(keys(&engine, "x"), ["local_0", "local_1", "after_2"]);
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn the_future_of_a_step_is_send_if_its_body_is() {
    drop(assert_send(free_async(1)));
    drop(assert_send(all_async_options(1)));
}
