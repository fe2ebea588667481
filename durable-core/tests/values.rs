//! Values of odd shapes, as the property says: each comes back as it was, or is refused; none comes back
//! changed.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use durable_core::Value;
use durable_core::private::probe::*;
use durable_core::private::{InputProbe, decode_input, encode_input};
use proptest::collection::{btree_map, btree_set, hash_map, hash_set, vec};
use proptest::num::{f32 as f32s, f64 as f64s};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BYTES_MAX: usize = 1 << 20;

/// What a caller gets for `value`, live; a replay must get the same.
fn settled<T: Value + Debug>(value: &T) -> Option<T> {
    let form = (&&InputProbe::<T>::NEW).durable_input();
    let (json, fingerprint) = encode_input(form, value, BYTES_MAX).ok()?;
    let (replayed, again) = decode_input(form, &json).unwrap();
    assert_eq!(fingerprint, again);
    Some(replayed)
}

/// Equal, and equal bit for bit: a float prints its sign and all its digits, which `==` would forgive.
fn same<T: Value + Debug + PartialEq>(value: &T, found: &T) -> bool {
    value == found && value.bits() == found.bits()
}

/// What two values print as, whatever the order of their maps and sets: the sorted letters of it.
trait Bits {
    fn bits(&self) -> Vec<char>;
}

impl<T: Debug> Bits for T {
    fn bits(&self) -> Vec<char> {
        let mut letters: Vec<char> = format!("{self:?}").chars().collect();
        letters.sort_unstable();
        letters
    }
}

#[track_caller]
fn comes_back<T: Value + Debug + PartialEq>(value: &T) -> Result<(), TestCaseError> {
    let found = settled(value);
    prop_assert!(found.as_ref().is_some_and(|found| same(value, found)), "{value:?} came back as {found:?}");
    Ok(())
}

#[track_caller]
fn comes_back_or_is_refused<T: Value + Debug + PartialEq>(value: &T) -> Result<(), TestCaseError> {
    let found = settled(value);
    prop_assert!(found.as_ref().is_none_or(|found| same(value, found)), "{value:?} came back as {found:?}");
    Ok(())
}

#[track_caller]
fn is_refused<T: Value + Debug>(value: &T) -> Result<(), TestCaseError> {
    let found = settled(value);
    prop_assert!(found.is_none(), "{value:?} came back as {found:?}");
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct Name(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(i128, f32);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Level {
    Low,
    #[serde(rename = "HIGH")]
    High,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(Option<f64>),
    Tuple(u128, char),
    Struct { name: Name, level: Level },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Struct { at: Option<u64>, name: Name },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "content", rename_all = "kebab-case")]
enum Adjacent {
    UnitLike,
    Newtype(f64),
    Tuple(i64, String),
    Struct { a: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Distinct {
    Number(u64),
    Text(String),
    List(Vec<i32>),
    Struct { a: u8, b: i8 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Ambiguous {
    Small(u8),
    Wide(i64),
    Huge(i128),
    Float(f64),
    Char(char),
    Text(String),
    Maybe(Option<u8>),
    Pair(u8, u8),
    List(Vec<u8>),
    Struct { a: u8 },
    Larger { a: u8, b: Option<u8> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    a: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FlatOdd {
    #[serde(flatten)]
    internal: InternalOdd,
    small: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "small")]
enum InternalOdd {
    Wide { n: i128 },
    Newtype(BTreeMap<u8, f32>),
    Bytes { bytes: Bytes },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default = "one")]
    list: Vec<u8>,
    #[serde(skip)]
    cache: u32,
    #[serde(skip_serializing, default)]
    secret: u32,
}

fn one() -> Vec<u8> {
    vec![1]
}

#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(i64),
    Some(Option<Box<Tree>>),
    Node(Vec<Tree>),
    Named { children: BTreeMap<String, Tree> },
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![f64s::NORMAL | f64s::SUBNORMAL | f64s::ZERO, Just(f64::MAX), Just(-0.0), Just(f64::EPSILON)]
}

fn finite32() -> impl Strategy<Value = f32> {
    prop_oneof![f32s::NORMAL | f32s::SUBNORMAL | f32s::ZERO, Just(f32::MAX), Just(-0.0), Just(f32::EPSILON)]
}

/// The ends of an integer's range, and everything between.
macro_rules! ends {
    ($ty:ident) => {
        prop_oneof![Just($ty::MIN), Just($ty::MAX), any::<$ty>()]
    };
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", any::<Vec<char>>().prop_map(|chars| chars.into_iter().take(8).collect())]
}

fn name() -> impl Strategy<Value = Name> {
    text().prop_map(Name)
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Low), Just(Level::High)]
}

fn external() -> impl Strategy<Value = External> {
    prop_oneof![
        Just(External::Unit),
        option::of(finite()).prop_map(External::Newtype),
        (ends!(u128), any::<char>()).prop_map(|(n, c)| External::Tuple(n, c)),
        (name(), level()).prop_map(|(name, level)| External::Struct { name, level }),
    ]
}

fn internal() -> impl Strategy<Value = Internal> {
    prop_oneof![
        Just(Internal::Unit),
        (option::of(ends!(u64)), name()).prop_map(|(at, name)| Internal::Struct { at, name }),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        Just(Adjacent::UnitLike),
        finite().prop_map(Adjacent::Newtype),
        (ends!(i64), text()).prop_map(|(n, text)| Adjacent::Tuple(n, text)),
        any::<bool>().prop_map(|a| Adjacent::Struct { a }),
    ]
}

fn distinct() -> impl Strategy<Value = Distinct> {
    prop_oneof![
        ends!(u64).prop_map(Distinct::Number),
        text().prop_map(Distinct::Text),
        vec(ends!(i32), 0..4).prop_map(Distinct::List),
        (any::<u8>(), any::<i8>()).prop_map(|(a, b)| Distinct::Struct { a, b }),
    ]
}

fn ambiguous() -> impl Strategy<Value = Ambiguous> {
    prop_oneof![
        any::<u8>().prop_map(Ambiguous::Small),
        prop_oneof![ends!(i64), -5..300_i64].prop_map(Ambiguous::Wide),
        prop_oneof![ends!(i128), -5..300_i128].prop_map(Ambiguous::Huge),
        any::<f64>().prop_map(Ambiguous::Float),
        any::<char>().prop_map(Ambiguous::Char),
        text().prop_map(Ambiguous::Text),
        any::<Option<u8>>().prop_map(Ambiguous::Maybe),
        any::<(u8, u8)>().prop_map(|(a, b)| Ambiguous::Pair(a, b)),
        vec(any::<u8>(), 0..4).prop_map(Ambiguous::List),
        any::<u8>().prop_map(|a| Ambiguous::Struct { a }),
        any::<(u8, Option<u8>)>().prop_map(|(a, b)| Ambiguous::Larger { a, b }),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    ends!(i64).prop_map(Tree::Leaf).prop_recursive(12, 64, 4, |inner| {
        prop_oneof![
            option::of(inner.clone().prop_map(Box::new)).prop_map(Tree::Some),
            vec(inner.clone(), 0..4).prop_map(Tree::Node),
            btree_map(text(), inner, 0..4).prop_map(|children| Tree::Named { children }),
        ]
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2_000, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn numbers_come_back(
        small in (ends!(i8), ends!(u8), ends!(i16), ends!(u16), ends!(i32), ends!(u32)),
        wide in (ends!(i64), ends!(u64), ends!(i128), ends!(u128), ends!(usize)),
        floats in (finite(), finite32(), option::of(finite())),
        odd in (any::<bool>(), any::<char>(), any::<NonZeroU8>(), any::<Duration>(), any::<IpAddr>()),
    ) {
        comes_back(&small)?;
        comes_back(&wide)?;
        comes_back(&floats)?;
        comes_back(&odd)?;
        comes_back(&Pair(wide.2, floats.1))?;
    }

    #[test]
    fn texts_and_bytes_come_back(text in text(), name in name(), bytes in vec(any::<u8>(), 0..64)) {
        comes_back(&text)?;
        comes_back(&name)?;
        comes_back(&text.clone().into_boxed_str())?;
        comes_back(&Bytes(bytes.clone()))?;
        comes_back(&(Unit, (), [name.clone(), name], Some(Bytes(bytes))))?;
    }

    #[test]
    fn enums_of_all_styles_come_back(
        external in external(), internal in internal(), adjacent in adjacent(), distinct in distinct()
    ) {
        comes_back(&external)?;
        comes_back(&internal)?;
        comes_back(&adjacent)?;
        comes_back(&distinct)?;
        let nested: Result<(External, Vec<Internal>), Option<Distinct>> = Ok((external, vec![internal]));
        comes_back(&nested)?;
        comes_back(&Err::<(), _>(Some(distinct)))?;
    }

    #[test]
    fn maps_and_sets_come_back(
        numbers in hash_map(ends!(i128), text(), 0..8),
        names in hash_map(name(), level(), 0..8),
        levels in btree_map(level(), option::of(any::<bool>()), 0..3),
        chars in btree_map(any::<char>(), finite(), 0..8),
        set in hash_set((any::<i32>(), text()), 0..8),
        ordered in btree_set(vec(ends!(i16), 0..3), 0..8),
    ) {
        comes_back(&numbers)?;
        comes_back(&names)?;
        comes_back(&levels)?;
        comes_back(&chars)?;
        comes_back(&set)?;
        comes_back(&ordered)?;
        comes_back(&BTreeMap::from([(true, set)]))?;
    }

    #[test]
    fn trees_come_back(tree in tree()) {
        comes_back(&tree)?;
    }

    #[test]
    fn floats_of_any_bits_come_back_or_are_refused(wide in any::<u64>(), small in any::<u32>()) {
        let (wide, small) = (f64::from_bits(wide), f32::from_bits(small));
        if wide.is_finite() { comes_back(&wide)? } else { is_refused(&wide)? }
        if small.is_finite() { comes_back(&small)? } else { is_refused(&small)? }
        for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            is_refused(&(wide, special))?;
            is_refused(&vec![Some(special)])?;
        }
    }

    #[test]
    fn nested_options_come_back_or_are_refused(
        twice in any::<Option<Option<u8>>>(), unit in any::<Option<()>>(), list in any::<Vec<Option<Option<()>>>>()
    ) {
        if twice == Some(None) { is_refused(&twice)? } else { comes_back(&twice)? }
        if unit.is_some() { is_refused(&unit)? } else { comes_back(&unit)? }
        comes_back_or_is_refused(&list)?;
    }

    #[test]
    fn keys_that_are_no_text_are_refused(
        pairs in btree_map(any::<(u8, u8)>(), any::<u8>(), 1..4),
        maybe in btree_map(any::<Option<u8>>(), any::<u8>(), 0..4),
        external in btree_set(any::<u64>(), 1..4),
    ) {
        is_refused(&pairs)?;
        comes_back_or_is_refused(&maybe)?;
        is_refused(&BTreeMap::from([(external, 1)]))?;
    }

    #[test]
    fn shapes_that_look_alike_come_back_or_are_refused(ambiguous in vec(ambiguous(), 1..3)) {
        comes_back_or_is_refused(&ambiguous)?;
    }

    #[test]
    fn flattened_fields_come_back_or_are_refused(
        a in any::<u32>(),
        rest in btree_map("[a-c]{1,2}", any::<i64>(), 0..4),
        odd in prop_oneof![
            ends!(i128).prop_map(|n| InternalOdd::Wide { n }),
            btree_map(any::<u8>(), any::<f32>(), 0..3).prop_map(InternalOdd::Newtype),
            vec(any::<u8>(), 0..3).prop_map(|bytes| InternalOdd::Bytes { bytes: Bytes(bytes) }),
        ],
        small in any::<f32>(),
    ) {
        let clashes = rest.contains_key("a");
        let flat = Flat { a, rest };
        if clashes { is_refused(&flat)? } else { comes_back(&flat)? }
        comes_back_or_is_refused(&odd)?;
        comes_back_or_is_refused(&FlatOdd { internal: odd, small })?;
    }

    /// A skipped field comes back as its default; one that is left out now and then must fit its default.
    #[test]
    fn skipped_fields_come_back_as_their_defaults(
        note in option::of(text()), list in vec(any::<u8>(), 0..3), cache in any::<u32>(), secret in any::<u32>()
    ) {
        let value = Skips { note, list, cache, secret };
        let kept = Skips { cache: 0, secret: 0, ..value.clone() };
        prop_assert_eq!(settled(&value), (!kept.list.is_empty()).then_some(kept));
    }
}
