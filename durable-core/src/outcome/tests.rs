//! What is refused, in which words, and what comes back.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;
use crate::failed::FailureKind;

const TRIED: Tried<'_> = Tried { step: "charge_0", attempts: 1 };
const BYTES_MAX: usize = 1 << 20;

fn settle_value<T: Serialize + DeserializeOwned>(value: T) -> Result<Settled<T>, Unstorable> {
    settle(&ValueCodec(Json::NEW), TRIED, value, BYTES_MAX)
}

/// Compares as printed, and by the bits of floats through it: `-0.0` prints its sign.
#[track_caller]
fn check<T: Serialize + DeserializeOwned + Debug>(value: T, json: &str) {
    let printed = format!("{value:?}");
    let settled = settle_value(value).unwrap();
    assert_eq!(settled.encoded, Encoded { status: StepStatus::Completed, json: json.to_owned() });
    assert_eq!(format!("{:?}", settled.returned), printed);
}

#[track_caller]
fn check_refused<T: Serialize + DeserializeOwned + Debug>(value: T, said: &str) {
    let refusal = settle_value(value).unwrap_err().to_string();
    let path = concat!(module_path!(), "::");
    assert_eq!(refusal.replace(path, "").replace("alloc::", "").replace("core::", ""), said);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    row: u32,
}

#[test]
fn floats_come_back_bit_for_bit() {
    check(0.0_f64, "0.0");
    check(-0.0_f64, "-0.0");
    check(-0.0_f32, "-0.0");
    check(0.1_f64 + 0.2, "0.30000000000000004");
    check(
        (f64::MAX, f64::MIN_POSITIVE, 5e-324_f64),
        "[1.7976931348623157e+308,2.2250738585072014e-308,5e-324]",
    );
    check((f32::MAX, f32::MIN_POSITIVE, 1e-45_f32), "[3.4028235e+38,1.1754944e-38,1e-45]");
}

#[test]
fn integers_come_back_at_their_ends() {
    check((i64::MIN, u64::MAX), "[-9223372036854775808,18446744073709551615]");
    check(i128::MIN, "-170141183460469231731687303715884105728");
    check(u128::MAX, "340282366920938463463374607431768211455");
}

#[test]
fn nan_and_the_infinities_are_refused() {
    const ADVICE: &str = "it holds NaN or an infinity, which JSON has no number for; return an `Option` or an enum that says what it means";
    check_refused(f64::NAN, &format!("a value of type `f64` cannot be stored: {ADVICE}"));
    check_refused(f32::INFINITY, &format!("a value of type `f32` cannot be stored: {ADVICE}"));
    check_refused(
        vec![Some(f64::NEG_INFINITY)],
        &format!("a value of type `vec::Vec<option::Option<f64>>` cannot be stored: {ADVICE}"),
    );
}

#[test]
fn a_some_that_reads_back_as_none_is_refused() {
    const ADVICE: &str = "it holds `Some(None)` or `Some(())`, which JSON reads back as `None`; return an enum with a variant for each case";
    check_refused(
        Some(None::<u32>),
        &format!("a value of type `option::Option<option::Option<u32>>` cannot be stored: {ADVICE}"),
    );
    check_refused(Some(()), &format!("a value of type `option::Option<()>` cannot be stored: {ADVICE}"));
    check(Some(Some(1)), "1");
    check(None::<Option<u32>>, "null");
}

#[test]
fn a_map_with_keys_that_are_no_text_is_refused() {
    check_refused(
        BTreeMap::from([(Place { row: 1 }, 1)]),
        "a value of type `collections::btree::map::BTreeMap<Place, i32>` cannot be stored: it holds a map with a key that JSON cannot write as text (key must be a string); use a string, a number or a unit variant as key, or return a `Vec` of pairs",
    );
    check(BTreeMap::from([(1_u8, 'a')]), r#"{"1":"a"}"#);
}

#[test]
fn a_value_that_is_too_large_is_refused() {
    let refusal = settle(&ValueCodec(Json::NEW), TRIED, "é".repeat(8), 17).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "a value of type `alloc::string::String` cannot be stored: it takes 18 bytes as JSON, and the limit is 17; store it elsewhere and return where it is"
    );
    assert!(settle(&ValueCodec(Json::NEW), TRIED, "é".repeat(8), 18).is_ok());
}

/// A chain that many newtypes or sequences deep, which takes no memory.
#[derive(Debug, Clone)]
struct Deep(u32);

impl Serialize for Deep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { serializer.serialize_bool(true) } else { serializer.collect_seq([Self(self.0 - 1)]) }
    }
}

impl<'de> Deserialize<'de> for Deep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn depth(value: &serde_json::Value) -> u32 {
            value.get(0).map_or(0, |inner| 1 + depth(inner))
        }
        serde_json::Value::deserialize(deserializer).map(|value| Self(depth(&value)))
    }
}

#[test]
fn a_value_of_more_than_128_levels_is_refused_and_never_ends_the_stack() {
    let json = |levels| format!("{}true{}", "[".repeat(levels), "]".repeat(levels));
    check(Deep(127), &json(127));
    for levels in [128, 129, 100_000] {
        check_refused(
            Deep(levels),
            "a value of type `Deep` cannot be stored: it is nested in more than 128 levels; return a flat form, such as a `Vec` of nodes that name their parent",
        );
    }
    assert!(
        settle(&ResultCodec(Json::<u32>::NEW, Json::<Deep>::NEW), TRIED, Err(Deep(100_000)), BYTES_MAX)
            .is_err()
    );
    assert!(encode_input(Json::NEW, &(1, Deep(100_000)), BYTES_MAX).is_err());
    assert_eq!(describe(&Deep(100_000)), None);
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Lopsided {
    #[serde(default = "five", skip_serializing_if = "is_zero")]
    count: u32,
}

fn five() -> u32 {
    5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Ambiguous {
    Small(u8),
    Wide(i64),
}

#[test]
fn a_value_that_reads_back_as_another_is_refused() {
    const ADVICE: &str = "it reads back as another value; make its `Serialize` and `Deserialize` mirror each other (`skip_serializing_if` needs a fitting `default`, an untagged enum needs variants that look different)";
    check_refused(Lopsided { count: 0 }, &format!("a value of type `Lopsided` cannot be stored: {ADVICE}"));
    check_refused(Ambiguous::Wide(5), &format!("a value of type `Ambiguous` cannot be stored: {ADVICE}"));
    check(Lopsided { count: 5 }, r#"{"count":5}"#);
}

#[test]
fn a_value_that_does_not_read_back_is_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Renamed {
        #[serde(rename(serialize = "new"))]
        old: u32,
    }
    check_refused(
        Renamed { old: 1 },
        "a value of type `a_value_that_does_not_read_back_is_refused::Renamed` cannot be stored: its `Deserialize` refuses what its `Serialize` wrote: missing field `old` at line 1 column 9; make them mirror each other",
    );
}

#[test]
fn a_value_whose_serialize_fails_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Locked;
    impl Serialize for Locked {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is locked"))
        }
    }
    check_refused(
        Locked,
        "a value of type `a_value_whose_serialize_fails_is_refused::Locked` cannot be stored: its `Serialize` failed: it is locked",
    );
}

#[test]
fn a_skipped_field_comes_back_as_its_default_live_too() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Cached {
        id: u32,
        #[serde(skip)]
        cache: String,
    }
    let settled = settle_value(Cached { id: 1, cache: "warm".to_owned() }).unwrap();
    assert_eq!(settled.returned, Cached { id: 1, cache: String::new() });
}

#[test]
fn the_refusal_names_the_side_that_is_wrong() {
    let codec = ResultCodec(Json::<f64>::NEW, Json::<f32>::NEW);
    let type_name = |refusal| match refusal {
        Unstorable::NotFinite { type_name } => type_name,
        other => panic!("{other}"),
    };
    assert_eq!(type_name(settle(&codec, TRIED, Ok(f64::NAN), BYTES_MAX).unwrap_err()), "f64");
    assert_eq!(type_name(settle(&codec, TRIED, Err(f32::NAN), BYTES_MAX).unwrap_err()), "f32");
}

/// An error of the user that looks like our own wrapper would be read as a panic: it is refused live.
#[test]
fn an_error_that_looks_like_a_stored_failure_is_refused() {
    let codec = ResultCodec(Json::<()>::NEW, Json::<HashMap<String, StepFailed>>::NEW);
    let failed = StepFailed::new(FailureKind::Panic, "charge_0", "no route", 1);
    let error = HashMap::from([("durable::StepFailed".to_owned(), failed)]);
    assert!(matches!(settle(&codec, TRIED, Err(error), BYTES_MAX), Err(Unstorable::Unreadable { .. })));
}

#[test]
fn stored_rows_of_another_shape_are_not_read() {
    let codec = ResultCodec(Json::<Place>::NEW, Message::<std::io::Error>::NEW);
    let said =
        |status, json| codec.decode(status, json).unwrap_err().to_string().replace("durable_core::", "");
    assert_eq!(
        said(StepStatus::Completed, r#"{"line":1}"#),
        "what is stored cannot be read as `outcome::tests::Place`: missing field `row` at line 1 column 10; if the type has changed, give new fields `#[serde(default)]` and keep the names of old ones as `alias`"
    );
    assert!(said(StepStatus::Failed, r#""a serde error of an earlier build""#).contains("cannot be read"));
    assert!(said(StepStatus::Failed, r#"{"durable::StepFailed":{"kind":"comet"}}"#).contains("comet"));
    assert!(said(StepStatus::Completed, &"[".repeat(100_000)).contains("cannot be read"));
}

#[test]
fn inputs_are_one_by_fingerprint_and_not_by_text() {
    let input = (Place { row: 1 }, "a".to_owned());
    let (json, fingerprint) = encode_input(Json::NEW, &input, BYTES_MAX).unwrap();
    assert_eq!(json, r#"[{"row":1},"a"]"#);
    let spaced = r#"[ { "row": 1 }, "\u0061" ]"#;
    assert_eq!(decode_input(Json::<(Place, String)>::NEW, spaced).unwrap(), (input, fingerprint));
    assert_eq!(encode_input(Json::NEW, &(), BYTES_MAX).unwrap().0, "null");
    assert!(encode_input(Json::NEW, &(f64::NAN,), BYTES_MAX).is_err());
}
