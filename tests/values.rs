//! What a value must be to be stored: one that would come back as another is refused before anything is
//! recorded, the run is halted, and a
//! corrected program goes on. All others come back as they are, bit for bit, and live as on replay.

#![expect(
    clippy::unreadable_literal,
    clippy::option_option,
    clippy::needless_pass_by_value,
    clippy::excessive_precision,
    reason = "odd values are what it is about"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use durable::store::RunStatus;
use durable::{Engine, Error, RunError, Unstorable, step, workflow};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use support::{Log, Switches, engine, keys};

/// Whether the program has not been corrected yet.
fn is_wrong() -> bool {
    Switches::is_set("wrong")
}

#[step]
fn before() {
    Log::note("before");
}

#[step]
fn after() {
    Log::note("after");
}

/// Declares a step that returns `$bad` until the program is corrected, and a workflow that calls it.
macro_rules! refused {
    ($workflow:ident, $step:ident, $T:ty, $bad:expr, $good:expr) => {
        #[step]
        fn $step() -> $T {
            if is_wrong() { $bad } else { $good }
        }

        #[workflow]
        fn $workflow() -> $T {
            before();
            let value = $step();
            after();
            value
        }
    };
}

/// Runs the wrong program twice, then the corrected one; gives back what was wrong.
#[track_caller]
fn check_refused<T: Debug>(
    engine: &(Engine, Log, Switches),
    run: impl Fn(&Engine) -> Result<T, RunError<std::convert::Infallible>>,
    key: &str,
) -> (String, Unstorable) {
    let (engine, log, switches) = engine;
    switches.set("wrong");
    let refused = run(engine).unwrap_err();
    assert_eq!(keys(engine, "x"), ["before_0"], "nothing of it is recorded");
    assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Halted);
    assert_eq!(run(engine).unwrap_err().to_string(), refused.to_string(), "the next call tries again");
    switches.clear();
    run(engine).unwrap();
    assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Completed);
    assert_eq!(log.lines(), ["before", "after"], "a corrected program goes on");
    let message = refused.to_string();
    let RunError::Engine(Error::Unstorable { step, site, source, .. }) = refused else { panic!("{refused}") };
    assert_eq!(step, key);
    assert_eq!(site.file, "tests/values.rs");
    (message, source.as_ref().clone())
}

#[track_caller]
fn check_changed<T: Debug>(
    run: impl Fn(&Engine) -> Result<T, RunError<std::convert::Infallible>>,
    key: &str,
    type_name: &str,
) {
    let (message, why) = check_refused(&engine(), run, key);
    // Each says in its own words what JSON would make of it; the words are pinned where they are written.
    let by_json = matches!(
        why,
        Unstorable::NotFinite { .. } | Unstorable::SomeOfNull { .. } | Unstorable::MapKey { .. }
    );
    assert!(by_json || matches!(why, Unstorable::Changed { .. } | Unstorable::Unreadable { .. }), "{why:?}");
    let start = format!("step `{key}` of workflow \"x\" (tests/values.rs:");
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains(&format!("a value of type `{type_name}` cannot be stored: it")), "{message}");
    assert!(message.ends_with("nothing was recorded"), "{message}");
}

macro_rules! check_changed {
    ($workflow:ident, $key:literal, $type:literal) => {
        check_changed(|engine| $workflow::durable("x").on(engine).run(), $key, $type)
    };
}

refused!(nan, a_nan, f64, f64::NAN, 1.0);
refused!(nan32, a_nan32, f32, f32::NAN, 1.0);
refused!(infinity, an_infinity, Option<f64>, Some(f64::INFINITY), None);
refused!(minus_infinity, a_minus_infinity, Vec<f64>, vec![0.0, f64::NEG_INFINITY], Vec::new());

#[test]
fn what_is_no_number_is_refused() {
    check_changed!(nan, "a_nan_1", "f64");
    check_changed!(nan32, "a_nan32_1", "f32");
    check_changed!(infinity, "an_infinity_1", "core::option::Option<f64>");
    check_changed!(minus_infinity, "a_minus_infinity_1", "alloc::vec::Vec<f64>");
}

refused!(some_none, a_some_none, Option<Option<u8>>, Some(None), Some(Some(1)));
refused!(some_unit, a_some_unit, Option<()>, Some(()), None);
refused!(deep_none, a_deep_none, (u8, Vec<Option<Option<u8>>>), (1, vec![Some(None)]), (1, vec![None]));

#[test]
fn a_some_that_reads_as_none_is_refused() {
    check_changed!(some_none, "a_some_none_1", "core::option::Option<core::option::Option<u8>>");
    check_changed!(some_unit, "a_some_unit_1", "core::option::Option<()>");
    check_changed!(
        deep_none,
        "a_deep_none_1",
        "(u8, alloc::vec::Vec<core::option::Option<core::option::Option<u8>>>)"
    );
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Key {
    id: u32,
}

refused!(struct_keys, a_struct_key, BTreeMap<Key, u8>, [(Key { id: 1 }, 1)].into(), BTreeMap::new());
refused!(tuple_keys, a_tuple_key, HashMap<(u8, u8), u8>, [((1, 2), 3)].into(), HashMap::new());

#[test]
fn map_keys_that_are_no_texts_are_refused() {
    check_changed!(
        struct_keys,
        "a_struct_key_1",
        "alloc::collections::btree::map::BTreeMap<values::Key, u8>"
    );
    let (message, _) =
        check_refused(&engine(), |engine| tuple_keys::durable("x").on(engine).run(), "a_tuple_key_1");
    assert!(message.contains("key must be a string"), "{message}");
}

/// A field that is written and not read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Forgetful {
    #[serde(skip_deserializing)]
    written: u32,
}

refused!(forgetful, a_forgetful, Forgetful, Forgetful { written: 1 }, Forgetful::default());

/// Reads as something else than it was.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(Option<String>),
    Nothing,
}

refused!(
    untagged,
    an_untagged,
    Untagged,
    Untagged::Nothing,
    [Untagged::Number(1), Untagged::Text(None)].into_iter().next_back().unwrap()
);

#[derive(Debug, Serialize, Deserialize)]
struct Rounded(#[serde(with = "whole")] f64);

mod whole {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f64::deserialize(deserializer).map(f64::round)
    }
}

refused!(rounded, a_rounded, Rounded, Rounded(0.5), Rounded(1.0));

#[test]
fn a_value_that_its_own_serde_changes_is_refused() {
    check_changed!(forgetful, "a_forgetful_1", "values::Forgetful");
    check_changed!(untagged, "an_untagged_1", "values::Untagged");
    check_changed!(rounded, "a_rounded_1", "values::Rounded");
}

/// Does not serialize if it says so.
#[derive(Debug, Deserialize)]
struct Shy(bool);

impl Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 { Err(serde::ser::Error::custom("not today")) } else { serializer.serialize_bool(false) }
    }
}

refused!(shy, a_shy, Shy, Shy(true), Shy(false));

#[test]
fn a_value_that_does_not_serialize_is_refused_with_its_reason() {
    let (message, why) = check_refused(&engine(), |engine| shy::durable("x").on(engine).run(), "a_shy_1");
    assert!(matches!(why, Unstorable::Serialize { .. }), "{why:?}");
    assert!(
        message.contains("`values::Shy` cannot be stored: its `Serialize` failed: not today"),
        "{message}"
    );
}

/// A chain of any length, which is taken apart link by link: the compiler's own way would recurse.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

fn chain(links: u32) -> Chain {
    (1..links).fold(Chain::default(), |chain, _| Chain { next: Some(Box::new(chain)) })
}

refused!(chain_of_200, two_hundred, Chain, chain(200), chain(100));
refused!(chain_of_100_000, a_hundred_thousand, Chain, chain(100_000), chain(1));

#[test]
fn a_value_that_is_nested_too_deep_is_refused() {
    let run = |engine: &Engine| chain_of_200::durable("x").on(engine).run();
    let (message, why) = check_refused(&engine(), run, "two_hundred_1");
    assert!(matches!(why, Unstorable::TooDeep { .. }), "{why:?}");
    assert!(
        message.contains("`values::Chain` cannot be stored: it is nested in more than 128 levels"),
        "{message}"
    );
}

#[test]
fn no_nesting_overflows_the_stack() {
    let run = |engine: &Engine| chain_of_100_000::durable("x").on(engine).run();
    let (_, why) = check_refused(&engine(), run, "a_hundred_thousand_1");
    assert!(matches!(why, Unstorable::TooDeep { .. }), "{why:?}");
}

#[workflow]
fn deep_input(chain: Chain) -> Chain {
    deep_argument(&chain);
    chain
}

#[step]
fn deep_argument(chain: &Chain) -> bool {
    chain.next.is_some()
}

#[test]
fn the_deepest_value_that_is_stored_comes_back() {
    let deepest = (1..200).take_while(|links| {
        let (engine, _, _) = engine();
        deep_input::durable("x", chain(*links)).on(&engine).run().is_ok()
    });
    // `serde_json` reads 127 levels, and the arguments are a tuple, which is one of them.
    assert_eq!(deepest.last(), Some(126));
}

#[workflow]
fn deep_step_argument() -> bool {
    deep_argument(&chain(100_000))
}

#[test]
fn an_argument_that_is_nested_too_deep_to_be_hashed_is_passed_over() {
    let (engine, _, _) = engine();
    assert!(deep_step_argument::durable("x").on(&engine).run().unwrap());
}

refused!(large, a_large_text, String, "x".repeat(99), "x".repeat(98));

#[test]
fn a_value_larger_than_the_limit_is_refused() {
    let (log, switches) = (Log::default(), Switches::default());
    let small = support::builder(&log, &switches).payload_bytes_max(100).in_memory().unwrap();
    let run = |engine: &Engine| large::durable("x").on(engine).run();
    let (message, why) = check_refused(&(small, log, switches), run, "a_large_text_1");
    let Unstorable::TooLarge { bytes, bytes_max, .. } = why else { panic!("{why:?}") };
    assert_eq!((bytes, bytes_max), (101, 100));
    assert!(
        message.contains(
            "`alloc::string::String` cannot be stored: it takes 101 bytes as JSON, and the limit is 100"
        ),
        "{message}"
    );
}

#[workflow]
fn takes(text: String) -> usize {
    text.len()
}

#[test]
fn an_input_larger_than_the_limit_is_refused_before_anything_is_stored() {
    let (log, switches) = (Log::default(), Switches::default());
    let small = support::builder(&log, &switches).payload_bytes_max(100).in_memory().unwrap();
    // A text of n bytes takes n + 2 as JSON, and n + 4 as the only argument.
    let run = |bytes: usize| takes::durable("x", "x".repeat(bytes)).on(&small).run();
    let refused = run(97).unwrap_err();
    let RunError::Engine(Error::UnstorableInput { source, .. }) = &refused else { panic!("{refused}") };
    assert!(matches!(**source, Unstorable::TooLarge { bytes: 101, bytes_max: 100, .. }), "{source}");
    assert_eq!(small.runs().count(), 0);
    assert_eq!(run(96).unwrap(), 96);
}

refused!(
    huge,
    a_huge_text,
    String,
    "x".repeat(durable::PAYLOAD_BYTES_MAX - 1),
    "x".repeat(durable::PAYLOAD_BYTES_MAX - 2)
);

#[test]
fn the_limit_is_16_mib_unless_it_is_set() {
    let run = |engine: &Engine| huge::durable("x").on(engine).run();
    let (_, why) = check_refused(&engine(), run, "a_huge_text_1");
    let Unstorable::TooLarge { bytes, bytes_max, .. } = why else { panic!("{why:?}") };
    assert_eq!((bytes, bytes_max), ((16 << 20) + 1, 16 << 20));
}

// Not only values of plain steps.

#[step]
fn wrong_error() -> Result<u8, f64> {
    if is_wrong() { Err(f64::NAN) } else { Err(1.0) }
}

#[workflow]
fn with_a_wrong_error() -> u8 {
    before();
    let value = wrong_error().unwrap_or(3);
    after();
    value
}

#[step]
async fn wrong_later() -> f64 {
    smol::future::yield_now().await;
    if is_wrong() { f64::NAN } else { 1.0 }
}

#[workflow]
async fn with_a_wrong_async_step() -> f64 {
    before();
    let value = wrong_later().await;
    after();
    value
}

#[workflow]
fn child() -> f64 {
    if is_wrong() { f64::NAN } else { 1.0 }
}

#[workflow]
fn with_a_wrong_child() -> f64 {
    before();
    let value = child();
    after();
    value
}

#[test]
fn errors_async_steps_and_children_are_held_to_the_same() {
    check_changed!(with_a_wrong_error, "wrong_error_1", "f64");
    let run = |engine: &Engine| smol::block_on(with_a_wrong_async_step::durable("x").on(engine).run());
    check_changed(run, "wrong_later_1", "f64");
    check_changed!(with_a_wrong_child, "child_1", "f64");
}

#[workflow]
fn with_a_wrong_result() -> f64 {
    before();
    if is_wrong() { f64::NAN } else { 1.0 }
}

#[test]
fn the_result_of_a_workflow_is_held_to_the_same() {
    let (engine, log, switches) = engine();
    switches.set("wrong");
    let refused = with_a_wrong_result::durable("x").on(&engine).run().unwrap_err();
    let RunError::Engine(Error::Unstorable { step, .. }) = &refused else { panic!("{refused}") };
    assert_eq!(step, "with_a_wrong_result");
    assert_eq!(engine.run("x").unwrap().unwrap().status, RunStatus::Halted);
    switches.clear();
    assert_eq!(with_a_wrong_result::durable("x").on(&engine).run().unwrap().to_bits(), 1.0_f64.to_bits());
    assert_eq!(log.lines(), ["before"]);
}

#[workflow]
fn taking(number: f64, chain: Chain) -> bool {
    before();
    number > 0.0 && chain.next.is_none()
}

#[test]
fn arguments_that_cannot_be_stored_start_no_run() {
    let (engine, log, _) = engine();
    for (number, links) in [(f64::NAN, 1), (1.0, 100_000)] {
        let refused = taking::durable("x", number, chain(links)).on(&engine).run().unwrap_err();
        assert!(
            matches!(refused, RunError::Engine(Error::UnstorableInput { name: "taking", .. })),
            "{refused}"
        );
        assert!(refused.to_string().starts_with("workflow \"x\" was not started"), "{refused}");
    }
    assert!(engine.run("x").unwrap().is_none());
    assert!(log.lines().is_empty());
}

#[workflow]
fn stubborn() -> u8 {
    before();
    let caught = catch_unwind(AssertUnwindSafe(a_nan));
    after();
    u8::from(caught.is_ok())
}

#[test]
fn a_workflow_cannot_catch_the_refusal() {
    let (engine, log, switches) = engine();
    switches.set("wrong");
    let refused = stubborn::durable("x").on(&engine).run().unwrap_err();
    assert!(matches!(refused, RunError::Engine(Error::Unstorable { .. })), "{refused}");
    assert_eq!(log.lines(), ["before"]);
    assert_eq!(keys(&engine, "x"), ["before_0"]);
}

// What does come back.

/// Runs `run` live, interrupted at the end, and on replay: what the workflow saw each time.
#[track_caller]
fn live_and_replayed<T, E: Debug>(run: impl Fn(&Engine) -> Result<T, E>) -> (Vec<String>, T) {
    let (engine, log, switches) = engine();
    switches.set("interrupt");
    assert!(run(&engine).is_err());
    switches.clear();
    let value = run(&engine).unwrap();
    (log.take(), value)
}

fn see<T: Debug>(value: T) -> T {
    Log::note(format!("{value:?}"));
    assert!(!Switches::is_set("interrupt"), "interrupted");
    value
}

#[step]
fn floats(bits: &[u64]) -> (Vec<f64>, Vec<f32>) {
    let small = |bits: &u64| f32::from_bits((*bits >> 32) as u32);
    let finite = |bits: &u64| Some(f64::from_bits(*bits)).filter(|float| float.is_finite());
    (
        bits.iter().filter_map(finite).collect(),
        bits.iter().map(small).filter(|float| float.is_finite()).collect(),
    )
}

#[workflow]
fn through_floats(bits: Vec<u64>) -> (Vec<u64>, Vec<u32>) {
    let (doubles, singles) = floats(&bits);
    see((doubles.iter().map(|f| f.to_bits()).collect(), singles.iter().map(|f| f.to_bits()).collect()))
}

fn check_floats(bits: Vec<u64>) {
    let expected_doubles: Vec<u64> =
        bits.iter().copied().filter(|bits| f64::from_bits(*bits).is_finite()).collect();
    let (seen, (doubles, singles)) =
        live_and_replayed(|engine| through_floats::durable("x", bits.clone()).on(engine).run());
    assert_eq!(doubles, expected_doubles);
    assert_eq!(seen, [format!("{:?}", (&doubles, &singles)), format!("{:?}", (&doubles, &singles))]);
}

#[test]
fn odd_floats_come_back_bit_for_bit() {
    let odd =
        [0.0, -0.0, f64::MIN_POSITIVE, f64::MIN_POSITIVE / 3.0, 5e-324, f64::MAX, f64::MIN, f64::EPSILON];
    let more = [
        0.1 + 0.2,
        1e23,
        2.2250738585072011e-308,
        9_007_199_254_740_993.0,
        1.0 / 3.0,
        123_456_789.123_456_79,
    ];
    check_floats(odd.iter().chain(&more).map(|float| float.to_bits()).collect());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_float_comes_back_bit_for_bit(bits in prop::collection::vec(any::<u64>(), 0..64)) {
        check_floats(bits);
    }
}

/// A value of which serde leaves some out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Partial {
    kept: u32,
    #[serde(skip)]
    skipped: u32,
    #[serde(skip, default = "nine")]
    skipped_with_default: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    left_out: Option<u32>,
}

fn nine() -> u32 {
    9
}

#[step]
fn partial() -> Partial {
    Partial { kept: 1, skipped: 2, skipped_with_default: 3, left_out: None }
}

#[workflow]
fn through_partial() -> Partial {
    see(partial())
}

#[test]
fn skipped_fields_are_their_default_live_and_on_replay() {
    let expected = Partial { kept: 1, skipped: 0, skipped_with_default: 9, left_out: None };
    let (seen, value) = live_and_replayed(|engine| through_partial::durable("x").on(engine).run());
    assert_eq!(value, expected);
    assert_eq!(seen, [format!("{expected:?}"), format!("{expected:?}")]);
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Color {
    Red,
    #[serde(rename = "")]
    Unnamed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Full { inner: Box<Tagged>, more: BTreeMap<Color, i64> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    texts: Vec<String>,
    letters: HashSet<char>,
    wide: (u128, i128, u64, i64),
    numbered: BTreeMap<i32, bool>,
    by_letter: BTreeMap<char, Option<()>>,
    colors: BTreeSet<Color>,
    tagged: Tagged,
    bytes: [u8; 4],
    nested: Vec<Vec<Option<Vec<u8>>>>,
    result: Result<(), String>,
    #[serde(flatten)]
    flat: BTreeMap<String, u8>,
}

fn everything() -> Everything {
    let full = Tagged::Full {
        inner: Box::new(Tagged::Empty),
        more: [(Color::Red, -1), (Color::Unnamed, i64::MIN)].into(),
    };
    Everything {
        texts: vec![String::new(), "\0\u{7f}\u{2028}\\\"/ ☃ 👩‍🚀".into()],
        letters: ['a', '\0', '\u{10ffff}'].into(),
        wide: (u128::MAX, i128::MIN, u64::MAX, i64::MIN),
        numbered: [(-1, true), (i32::MIN, false)].into(),
        by_letter: [('"', None)].into(),
        colors: [Color::Red, Color::Unnamed].into(),
        tagged: full,
        bytes: [0, 1, 254, 255],
        nested: vec![vec![], vec![None, Some(vec![]), Some(vec![1])]],
        result: Err("no".into()),
        flat: [("x y".to_owned(), 1)].into(),
    }
}

#[step]
fn all() -> Everything {
    everything()
}

#[workflow]
fn through_all(given: Everything) -> Everything {
    assert_eq!(given, everything());
    let all = all();
    assert_eq!(all, given);
    // Sets and maps may come back in another order.
    see(());
    all
}

#[test]
fn values_of_every_shape_come_back_equal() {
    let (_, value) = live_and_replayed(|engine| through_all::durable("x", everything()).on(engine).run());
    assert_eq!(value, everything());
}

fn assert_owned<T: DeserializeOwned + Serialize>() {}

#[test]
fn the_bound_of_a_value_is_a_serde_type() {
    fn stored<T: durable::Value>() {
        assert_owned::<T>();
    }
    stored::<Everything>();
}
