//! Every form of function that `#[step]` goes on: inside a run each is recorded and does not run again, outside it is what it was.

mod support;

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use durable::{Engine, Error, RunError, Value, step, workflow};
use serde::{Deserialize, Serialize};
use support::{Log, Switches, engine, keys};

#[step]
fn free(a: u32, b: u32) -> u32 {
    Log::note("free");
    a + b
}

#[step]
fn early(n: i32) -> Result<i32, String> {
    Log::note("early");
    if n < 0 {
        return Err("negative".into());
    }
    let parsed: i32 = "7".parse().map_err(|_| "no number".to_owned())?;
    Ok(n + parsed)
}

#[step]
fn patterns((a, b): (u32, u32), [c, ..]: [u32; 2], mut sum: u32) -> u32 {
    Log::note("patterns");
    sum += a + b + c;
    sum
}

#[step]
fn generic<T, const N: usize>(items: [T; N]) -> Vec<T>
where
    T: Value + Clone,
{
    Log::note("generic");
    items.to_vec()
}

#[step]
fn implied(text: impl Display, action: impl Fn(u32) -> u32, object: &dyn Fn() -> u32) -> String {
    Log::note("implied");
    format!("{text} {} {}", action(1), object())
}

#[step]
fn r#type(r#match: &str) -> Cow<'_, str> {
    Log::note("raw");
    Cow::Borrowed(r#match)
}

#[must_use = "it is why it was made"]
#[step]
#[inline]
fn attributed() -> u8 {
    Log::note("attributed");
    1
}

#[step]
#[cfg(not(any()))]
fn configured() -> u8 {
    Log::note("configured");
    2
}

#[tracing::instrument]
#[step]
fn traced_outside(n: u8) -> u8 {
    Log::note("traced outside");
    n
}

#[step]
#[tracing::instrument]
fn traced_inside(n: u8) -> u8 {
    Log::note("traced inside");
    n
}

#[derive(Clone, Serialize, Deserialize)]
struct Account {
    cents: u32,
}

impl Account {
    #[step]
    fn new(cents: u32) -> Self {
        Log::note("associated");
        Self { cents }
    }

    #[step]
    fn add(&self, cents: u32) -> u32 {
        Log::note("by reference");
        self.cents + cents
    }

    #[step]
    fn close(self) -> u32 {
        Log::note("by value");
        self.cents
    }

    #[step(name = "shared")]
    fn share(self: &Arc<Self>) -> u32 {
        Log::note("by arc");
        self.cents
    }

    #[step]
    async fn audit(&self) -> Result<u32, String> {
        Log::note("async method");
        smol::future::yield_now().await;
        Ok(self.cents)
    }
}

trait Ledger {
    fn total(&self) -> u32;

    async fn settle(&self, extra: &str) -> String;

    #[step]
    fn doubled(&self) -> u32
    where
        Self: Sized,
    {
        Log::note("default method");
        self.total() * 2
    }
}

impl Ledger for Account {
    #[step]
    fn total(&self) -> u32 {
        Log::note("trait method");
        self.cents
    }

    #[step]
    async fn settle(&self, extra: &str) -> String {
        Log::note("async trait method");
        format!("{} {extra}", self.cents)
    }
}

#[step]
async fn async_generic<T: Value>(value: T, twice: impl AsyncFn(u32) -> u32) -> (T, u32) {
    Log::note("async generic");
    let n = twice(2).await;
    (value, n)
}

#[step(retries = 2, backoff = "1ms", args = record)]
fn recorded(name: String, list: &[u32]) -> Result<String, String> {
    Log::note("recorded");
    Ok(format!("{name} {list:?}"))
}

#[step(args = ignore)]
fn ignoring(n: u32) -> u32 {
    Log::note("ignoring");
    n
}

#[workflow]
async fn everything() -> Vec<String> {
    let account = Account::new(5);
    let shared = Arc::new(account.clone());
    let mut seen = vec![
        free(1, 2).to_string(),
        format!("{:?} {:?}", early(1), early(-1)),
        patterns((1, 2), [3, 4], 5).to_string(),
        format!("{:?}", generic(["a".to_owned(), "b".to_owned()])),
        implied("x", |n| n + 1, &|| 7),
        r#type("raw").into_owned(),
        format!("{} {} {} {}", attributed(), configured(), traced_outside(3), traced_inside(4)),
        format!("{} {} {}", account.add(1), account.clone().close(), shared.share()),
        format!("{:?} {} {}", account.audit().await, account.total(), account.doubled()),
        account.settle("more").await,
        format!("{:?}", async_generic("v".to_owned(), async |n| n * 2).await),
        recorded("r".into(), &[1, 2]).unwrap_or_default(),
        ignoring(durable::random::<u32>() % 2 * u32::from(Switches::is_set("other")) + 7).to_string(),
    ];
    seen.push(seen.len().to_string());
    assert!(!Switches::is_set("stop"));
    seen
}

#[test]
fn every_form_is_recorded_and_does_not_run_again() {
    let (engine, log, switches) = engine();
    switches.set("stop");
    smol::block_on(everything::durable("x").on(&engine).run()).unwrap_err();
    let first = log.take();
    switches.clear();
    let seen = smol::block_on(everything::durable("x").on(&engine).run()).unwrap();
    assert!(log.lines().is_empty(), "{:?}", log.lines());
    // The default method calls another step of the same value, which is a plain call inside it.
    assert_eq!(first.len(), 23, "{first:?}");
    assert_eq!(keys(&engine, "x").len(), 22);
    assert!(keys(&engine, "x").contains(&"shared_14".to_owned()), "{:?}", keys(&engine, "x"));
    let expected = [
        "3",
        "Ok(8) Err(\"negative\")",
        "11",
        "[\"a\", \"b\"]",
        "x 2 7",
        "raw",
        "1 2 3 4",
        "6 5 5",
        "Ok(5) 5 10",
        "5 more",
        "(\"v\", 4)",
        "r [1, 2]",
        "7",
        "13",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn recorded_arguments_stand_in_the_row_and_ignored_ones_do_not_count() {
    let (engine, _, _) = engine();
    smol::block_on(everything::durable("x").on(&engine).run()).unwrap();
    let steps = engine.steps("x").unwrap();
    let step = |name: &str| steps.iter().find(|step| step.name == name).unwrap();
    assert_eq!(step("recorded").args.as_deref(), Some("[\"r\",[1,2]]"));
    assert_eq!((step("free").args.as_deref(), step("free").args_fingerprint.is_some()), (None, true));
    assert_eq!(step("ignoring").args_fingerprint, None);
    assert!(step("free").site.starts_with("tests/step_forms.rs:"), "{}", step("free").site);
}

#[test]
fn outside_a_run_a_step_is_the_function_that_it_was() {
    let (engine, log, _) = engine();
    let _entered = engine.enter();
    assert_eq!((free(1, 2), early(-1)), (3, Err("negative".to_owned())));
    assert_eq!(smol::block_on(Account { cents: 1 }.audit()), Ok(1));
    assert_eq!(log.lines(), ["free", "early", "async method"]);
    assert_eq!(engine.runs().count(), 0);
}

/// A workflow in a module, one in a function body, one with patterns and many arguments, one under a name of its own.
mod inner {
    #[durable::workflow]
    pub(crate) fn in_a_module(n: u32) -> u32 {
        super::free(n, 1)
    }

    #[durable::workflow(name = "renamed", entry = Renamed)]
    pub(crate) fn renamed((a, b): (u32, String), [c, ..]: [u32; 3], _unused: bool) -> String {
        format!("{a} {b} {c} {}", super::free(a, c))
    }
}

type ParseResult = Result<u32, std::num::ParseIntError>;
type AppResult<T> = Result<T, String>;

#[workflow]
fn aliased(text: String) -> AppResult<u32> {
    let parsed: ParseResult = text.parse();
    parsed.map_err(|error| error.to_string())
}

#[workflow]
#[expect(clippy::too_many_arguments, clippy::many_single_char_names, reason = "as many as there may be")]
fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> u32 {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into_iter().map(u32::from).sum()
}

#[test]
fn workflows_stand_anywhere_and_take_what_they_like() {
    use inner::{Renamed, in_a_module, renamed};

    #[derive(Serialize, Deserialize)]
    struct Local(u32);

    #[workflow]
    fn in_a_body(local: Local) -> u32 {
        free(local.0, 1)
    }

    let (engine, _, _) = engine();
    let _entered = engine.enter();
    assert_eq!(in_a_module::run_durable("a", 1).unwrap(), 2);
    assert_eq!(in_a_body::run_durable("b", Local(2)).unwrap(), 3);
    assert_eq!(Renamed::run_durable("c", (1, "x".into()), [2, 3, 4], true).unwrap(), "1 x 2 3");
    assert_eq!(renamed((1, "x".into()), [2, 3, 4], true), "1 x 2 3", "called plainly it is the function");
    assert_eq!(engine.run("c").unwrap().unwrap().name, "renamed");
    assert_eq!(Renamed::resume("c").unwrap(), "1 x 2 3");
    assert_eq!(
        sixteen::run_durable("d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16).unwrap(),
        136
    );
    assert!(
        matches!(aliased::run_durable("e", "x".into()), Err(RunError::Failed(error)) if error.contains("invalid digit"))
    );
}

#[test]
fn an_input_that_would_not_come_back_starts_nothing() {
    #[workflow]
    fn floats(values: Vec<f64>) -> usize {
        values.len()
    }

    let engine = Engine::in_memory().unwrap();
    let error = floats::durable("x", vec![f64::NAN]).on(&engine).run().unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::UnstorableInput { .. })), "{error}");
    assert!(error.to_string().contains("NaN"), "{error}");
    assert_eq!(engine.runs().count(), 0);
    assert_eq!(floats::durable("x", vec![1.0]).on(&engine).run().unwrap(), 1);
}
