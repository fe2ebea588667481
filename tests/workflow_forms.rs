//! Every form that a workflow can have: what it takes, where it is declared, under which names it is called.

#![expect(
    unused_qualifications,
    clippy::ignored_unit_patterns,
    clippy::needless_borrows_for_generic_args,
    reason = "forms that a user may write, whatever clippy thinks of them"
)]
#![expect(clippy::many_single_char_names, reason = "arguments that stand for any")]
#![expect(clippy::too_many_arguments, reason = "a workflow can have sixteen")]

mod support;

use std::io;

use durable::store::RunStatus;
use durable::{Engine, Error, RunError, step, workflow};
use serde::{Deserialize, Serialize};
use support::{Log, Switches, engine, keys};

#[step]
fn note(text: &str) -> String {
    Log::note(text);
    text.to_uppercase()
}

#[step]
async fn note_later(text: &str) -> String {
    smol::future::yield_now().await;
    Log::note(text);
    text.to_uppercase()
}

fn end() {
    assert!(!Switches::is_set("interrupt"), "interrupted");
}

// From none to sixteen arguments.

/// A workflow that returns its arguments, for `fn` and `async fn`: run to an interruption, resumed, and
/// called plainly.
macro_rules! arity {
    ($sync:ident, $async:ident, $input:literal, [$($arg:ident = $value:literal),*]) => {
        mod $sync {
            use super::*;

            #[workflow]
            fn $sync($($arg: u32),*) -> Vec<u32> {
                note("sync");
                end();
                vec![$($arg),*]
            }

            #[workflow]
            async fn $async($($arg: u32),*) -> Vec<u32> {
                note_later("async").await;
                end();
                vec![$($arg),*]
            }

            #[test]
            fn are_stored_and_given_back() {
                let (engine, log, switches) = engine();
                let _entered = engine.enter();
                let values: &[u32] = &[$($value),*];
                switches.set("interrupt");
                $sync::run_durable("sync", $($value),*).unwrap_err();
                smol::block_on($async::run_durable("async", $($value),*)).unwrap_err();
                switches.clear();
                for id in ["sync", "async"] {
                    assert_eq!(engine.run(id).unwrap().unwrap().input, $input);
                }
                assert_eq!($sync::resume("sync").unwrap(), values);
                assert_eq!(smol::block_on($async::resume("async")).unwrap(), values);
                assert_eq!(log.take(), ["sync", "async"]);
                assert_eq!($sync($($value),*), values);
                assert_eq!(smol::block_on($async($($value),*)), values);
                assert_eq!(log.lines(), ["sync", "async"], "a plain call outside a run");
                assert_eq!(engine.runs().count(), 2, "records nothing");
            }
        }
    };
}

arity!(no_arguments, no_async_arguments, "null", []);
arity!(one_argument, one_async_argument, "[1]", [a = 1]);
arity!(two_arguments, two_async_arguments, "[1,2]", [a = 1, b = 2]);
arity!(three_arguments, three_async_arguments, "[1,2,3]", [a = 1, b = 2, c = 3]);
arity!(four_arguments, four_async_arguments, "[1,2,3,4]", [a = 1, b = 2, c = 3, d = 4]);
arity!(five_arguments, five_async_arguments, "[1,2,3,4,5]", [a = 1, b = 2, c = 3, d = 4, e = 5]);
arity!(six_arguments, six_async_arguments, "[1,2,3,4,5,6]", [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6]);
arity!(
    seven_arguments,
    seven_async_arguments,
    "[1,2,3,4,5,6,7]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7]
);
arity!(
    eight_arguments,
    eight_async_arguments,
    "[1,2,3,4,5,6,7,8]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8]
);
arity!(
    nine_arguments,
    nine_async_arguments,
    "[1,2,3,4,5,6,7,8,9]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9]
);
arity!(
    ten_arguments,
    ten_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10]
);
arity!(
    eleven_arguments,
    eleven_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11]
);
arity!(
    twelve_arguments,
    twelve_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11,12]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12]
);
arity!(
    thirteen_arguments,
    thirteen_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11,12,13]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12, m = 13]
);
arity!(
    fourteen_arguments,
    fourteen_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14]",
    [a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, j = 10, k = 11, l = 12, m = 13, n = 14]
);
arity!(
    fifteen_arguments,
    fifteen_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]",
    [
        a = 1,
        b = 2,
        c = 3,
        d = 4,
        e = 5,
        f = 6,
        g = 7,
        h = 8,
        i = 9,
        j = 10,
        k = 11,
        l = 12,
        m = 13,
        n = 14,
        o = 15
    ]
);
arity!(
    sixteen_arguments,
    sixteen_async_arguments,
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
    [
        a = 1,
        b = 2,
        c = 3,
        d = 4,
        e = 5,
        f = 6,
        g = 7,
        h = 8,
        i = 9,
        j = 10,
        k = 11,
        l = 12,
        m = 13,
        n = 14,
        o = 15,
        p = 16
    ]
);

// Arguments of every kind.

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    items: Vec<String>,
    note: Option<Box<Order>>,
}

fn order() -> Order {
    let inner = Order { items: Vec::new(), note: None };
    Order { items: vec!["lamp".into()], note: Some(Box::new(inner)) }
}

#[workflow]
fn taken_apart(
    Order { items, .. }: Order,
    (a, mut b): (u32, u32),
    [first, ..]: [char; 3],
    whole @ (_, _): (bool, ()),
    _: String,
    _unused: u8,
    mut sum: u32,
) -> (Vec<String>, u32, char, bool, u32) {
    b += 1;
    sum += a + b;
    note("ran");
    end();
    (items, b, first, whole.0, sum)
}

#[test]
fn patterns_take_stored_arguments_apart() {
    let (engine, log, switches) = engine();
    let start = || {
        let call = taken_apart::durable("x", order(), (1, 2), ['x', 'y', 'z'], (true, ()), "s".into(), 7, 10);
        call.on(&engine).run()
    };
    switches.set("interrupt");
    start().unwrap_err();
    switches.clear();
    let expected = (vec!["lamp".to_owned()], 3, 'x', true, 14);
    assert_eq!(start().unwrap(), expected);
    assert_eq!(log.lines(), ["ran"]);
}

#[workflow]
async fn taken_apart_later((a, b): (u32, String), mut order: Order) -> String {
    order.items.push(b);
    format!("{} {}", order.items.join("+"), note_later("x").await.repeat(a as usize))
}

#[test]
fn patterns_take_the_arguments_of_an_async_workflow_apart() {
    let (engine, _, _) = engine();
    let run = taken_apart_later::durable("x", (2, "shade".into()), order()).on(&engine).run();
    assert_eq!(smol::block_on(run).unwrap(), "lamp+shade XX");
}

#[workflow]
fn called_like_the_entry_points(id: u32, workflow_id: u32, input: u32, returned: u32, arg0: u32) -> u32 {
    id + workflow_id + input + returned + arg0
}

#[test]
fn arguments_can_have_the_names_of_generated_ones() {
    let (engine, _, _) = engine();
    let call = called_like_the_entry_points::durable("x", 1, 20, 300, 4_000, 50_000);
    assert_eq!(call.on(&engine).run().unwrap(), 54_321);
}

// Places.

#[test]
fn a_workflow_in_a_function_body_can_take_local_types() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Local(u32);

    #[workflow]
    fn in_a_body(local: Local) -> Result<Local, Local> {
        note("body");
        if local.0 == 0 { Err(local) } else { Ok(local) }
    }

    #[workflow]
    async fn in_a_body_later(local: Local) -> Local {
        note_later("later").await;
        local
    }

    let (engine, log, _) = engine();
    assert_eq!(in_a_body::durable("a", Local(1)).on(&engine).run().unwrap(), Local(1));
    let failed = in_a_body::durable("b", Local(0)).on(&engine).run();
    assert!(matches!(failed, Err(RunError::Failed(Local(0)))));
    let later = in_a_body_later::durable("c", Local(2)).on(&engine).run();
    assert_eq!(smol::block_on(later).unwrap(), Local(2));
    assert_eq!(log.lines(), ["body", "body", "later"]);
}

mod shop {
    pub(crate) mod back {
        use super::super::{note, workflow};

        #[workflow]
        pub(crate) fn in_a_module(n: u32) -> u32 {
            note("module");
            n
        }

        #[workflow]
        pub(in crate::shop) async fn in_a_module_later(n: u32) -> u32 {
            in_a_module(n)
        }
    }

    pub(crate) async fn later(engine: &super::Engine, n: u32) -> u32 {
        back::in_a_module_later::durable("later", n).on(engine).run().await.unwrap()
    }

    pub(crate) use back::in_a_module as in_the_shop;
}

use shop::back::in_a_module;
use shop::in_the_shop;

#[test]
fn one_use_brings_the_function_and_its_entry_points() {
    let (engine, log, _) = engine();
    let _entered = engine.enter();
    assert_eq!(in_a_module(1), 1);
    assert_eq!(in_a_module::run_durable("a", 2).unwrap(), 2);
    assert_eq!(in_the_shop(3), 3);
    assert_eq!(in_the_shop::run_durable("b", 4).unwrap(), 4);
    assert_eq!(in_the_shop::resume("a").unwrap(), 2);
    assert_eq!(log.lines(), ["module"; 4]);
    assert_eq!(smol::block_on(shop::later(&engine, 5)), 5);
    assert_eq!(
        keys(&engine, "later"),
        ["in_a_module_0", "note_0.0.0"],
        "a plain call inside a run is a child"
    );
}

mod occupied {
    use super::*;

    pub(super) mod fulfil {
        pub(crate) const CENTS: u32 = 5;
    }

    #[workflow(entry = Fulfil)]
    pub(super) fn fulfil(n: u32) -> u32 {
        note("entry");
        n + fulfil::CENTS
    }

    #[workflow(entry = FulfilLater)]
    pub(super) async fn fulfil_later(n: u32) -> u32 {
        fulfil(n)
    }
}

#[test]
fn the_option_entry_names_the_type_of_the_entry_points() {
    use occupied::{Fulfil, FulfilLater, fulfil, fulfil_later};

    let (engine, _, _) = engine();
    let _entered = engine.enter();
    assert_eq!(fulfil(1), 6);
    assert_eq!(Fulfil::run_durable("x", 1).unwrap(), 6);
    assert_eq!(engine.run("x").unwrap().unwrap().name, "fulfil", "the stored name stays");
    assert_eq!(smol::block_on(FulfilLater::run_durable("y", 2)).unwrap(), 7);
    assert_eq!(smol::block_on(fulfil_later(3)), 8);
}

#[workflow(name = "order/fulfil-v2")]
fn renamed(n: u32) -> u32 {
    note("name");
    n
}

#[test]
fn the_option_name_is_what_is_stored() {
    let (engine, _, _) = engine();
    assert_eq!(renamed::durable("x", 1).on(&engine).run().unwrap(), 1);
    assert_eq!(engine.run("x").unwrap().unwrap().name, "order/fulfil-v2");
}

#[workflow]
fn r#loop(r#in: u32) -> u32 {
    note("raw");
    r#in
}

#[test]
fn a_raw_name_is_stored_without_its_prefix() {
    let (engine, _, _) = engine();
    assert_eq!(r#loop::durable("x", 1).on(&engine).run().unwrap(), 1);
    assert_eq!(engine.run("x").unwrap().unwrap().name, "loop");
}

macro_rules! declare {
    ($name:ident($($arg:ident: $ty:ty),*) -> $returned:ty $body:block) => {
        #[workflow]
        fn $name($($arg: $ty),*) -> $returned $body
    };
}
declare!(from_a_macro(n: u32, m: Option<u32>) -> Result<u32, String> {
    note("macro");
    let m: u32 = m.ok_or("nothing")?;
    Ok(n + m)
});

#[test]
fn a_workflow_can_come_from_a_macro() {
    let (engine, _, _) = engine();
    assert_eq!(from_a_macro::durable("x", 1, Some(2)).on(&engine).run().unwrap(), 3);
    assert_eq!(
        from_a_macro::durable("y", 1, None).on(&engine).run().unwrap_err().failed().unwrap(),
        "nothing"
    );
}

#[cfg(any())]
#[workflow]
fn conditional(n: Missing) -> Missing {
    n
}

#[workflow]
#[cfg(any())]
fn conditional(n: Missing) -> Missing {
    n
}

#[workflow]
#[tracing::instrument]
#[cfg(not(any()))]
fn conditional(n: u32) -> u32 {
    note("cfg");
    n
}

#[tracing::instrument(skip_all)]
#[workflow(entry = Instrumented)]
async fn instrumented(n: u32) -> Result<u32, String> {
    note_later("instrumented").await;
    Ok(n)
}

#[test]
fn other_attributes_can_stand_beside() {
    let (engine, log, _) = engine();
    assert_eq!(conditional::durable("x", 1).on(&engine).run().unwrap(), 1);
    assert_eq!(smol::block_on(Instrumented::durable("y", 1).on(&engine).run()).unwrap(), 1);
    assert_eq!(log.lines(), ["cfg", "instrumented"]);
}

// Results under other names.

type OrderResult<T> = Result<T, String>;
type WholeResult = OrderResult<u32>;

#[workflow]
fn one_parameter(n: u32) -> OrderResult<u32> {
    if n == 0 { Err("nothing".into()) } else { Ok(n) }
}

#[workflow]
fn no_parameter(n: u32) -> WholeResult {
    one_parameter(n)
}

#[workflow]
fn of_io(n: u32) -> io::Result<u32> {
    if n == 0 { Err(io::Error::other("nothing")) } else { Ok(n) }
}

#[workflow]
async fn of_anyhow(n: u32) -> anyhow::Result<u32> {
    anyhow::ensure!(n > 0, "nothing");
    Ok(n)
}

mod spelled {
    pub(super) use std::result::Result;
}

#[workflow]
async fn spelled_out(n: u32) -> spelled::Result<u32, String> {
    one_parameter(n)
}

#[test]
fn an_alias_of_result_gives_its_own_value_and_error() {
    let (engine, _, _) = engine();
    let _entered = engine.enter();
    let value: Result<u32, RunError<String>> = one_parameter::run_durable("a1", 1);
    assert_eq!(value.unwrap(), 1);
    let value: Result<u32, RunError<String>> = no_parameter::run_durable("b1", 1);
    assert_eq!(value.unwrap(), 1);
    let value: Result<u32, RunError<io::Error>> = of_io::run_durable("c1", 1);
    assert_eq!(value.unwrap(), 1);
    let value: Result<u32, RunError<anyhow::Error>> = smol::block_on(of_anyhow::run_durable("d1", 1));
    assert_eq!(value.unwrap(), 1);
    let value: Result<u32, RunError<String>> = smol::block_on(spelled_out::run_durable("e1", 1));
    assert_eq!(value.unwrap(), 1);

    let failed = |text: Option<String>| assert_eq!(text.as_deref(), Some("nothing"));
    failed(one_parameter::run_durable("a0", 0).unwrap_err().failed());
    failed(no_parameter::run_durable("b0", 0).unwrap_err().failed());
    failed(of_io::run_durable("c0", 0).unwrap_err().failed().map(|error| error.to_string()));
    let future = of_anyhow::run_durable("d0", 0);
    failed(smol::block_on(future).unwrap_err().failed().map(|error| error.to_string()));
    failed(smol::block_on(spelled_out::run_durable("e0", 0)).unwrap_err().failed());
    assert_eq!(engine.run("d0").unwrap().unwrap().status, RunStatus::Failed);
}

// Entry points.

#[workflow]
fn entered(n: u32) -> String {
    let text = note(&n.to_string());
    end();
    text
}

#[test]
fn each_entry_point_goes_on_where_another_one_stopped() {
    let (engine, log, switches) = engine();
    let _entered = engine.enter();
    switches.set("interrupt");
    entered::durable("x", 1).on(&engine).run().unwrap_err();
    entered::run_durable("x", 1).unwrap_err();
    switches.clear();
    assert_eq!(entered::resume("x").unwrap(), "1");
    assert_eq!(entered::run_durable("x", 1).unwrap(), "1");
    assert_eq!(log.lines(), ["1"]);
}

#[test]
fn an_entry_point_needs_an_engine_and_says_how_to_name_one() {
    // The other tests of this program enter theirs on their own threads, and none is global.
    let error = entered::run_durable("x", 1).unwrap_err();
    assert!(matches!(error, RunError::Engine(Error::NoEngine)), "{error}");
    assert!(error.to_string().contains("engine.enter()"), "{error}");
}

#[test]
fn an_id_can_be_any_text_and_resume_needs_a_known_one() {
    let (engine, _, _) = engine();
    let _entered = engine.enter();
    assert_eq!(entered::run_durable(String::from("näme ☃"), 1).unwrap(), "1");
    assert_eq!(entered::resume(&String::from("näme ☃")).unwrap(), "1");
    let unknown = entered::resume("other").unwrap_err();
    assert!(matches!(unknown, RunError::Engine(Error::UnknownRun { .. })), "{unknown}");
    let invalid = entered::run_durable("", 1).unwrap_err();
    assert!(matches!(invalid, RunError::Engine(Error::InvalidId(_))), "{invalid}");
}

#[test]
fn the_innermost_entered_engine_counts_until_its_guard_is_dropped() {
    let ((outer, _, _), (inner, _, _)) = (engine(), engine());
    let _outer = outer.enter();
    {
        let _inner = inner.enter();
        entered::run_durable("in", 1).unwrap();
    }
    entered::run_durable("out", 1).unwrap();
    let ids = |engine: &Engine| engine.runs().map(|run| run.unwrap().id.to_string()).collect::<Vec<_>>();
    assert_eq!((ids(&outer), ids(&inner)), (vec!["out".to_owned()], vec!["in".to_owned()]));
}

#[test]
fn registering_a_linked_workflow_again_is_no_duplicate() {
    let builder = Engine::builder().with(Log::default()).with(Switches::default());
    let builder = builder.register::<entered>().register::<entered>().register::<occupied::Fulfil>();
    let engine = builder.in_memory().unwrap();
    assert_eq!(entered::durable("x", 1).on(&engine).run().unwrap(), "1");
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn the_futures_of_an_async_workflow_are_send_and_lazy() {
    let (engine, log, _) = engine();
    drop(assert_send(of_anyhow(1)));
    let run = assert_send(taken_apart_later::durable("x", (1, String::new()), order()).on(&engine).run());
    drop(run);
    assert!(log.lines().is_empty());
    assert_eq!(engine.runs().count(), 0, "nothing happens before the first poll");
}
