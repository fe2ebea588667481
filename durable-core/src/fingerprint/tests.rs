//! The hash is pinned here: what it tells apart, what it does not, and how deep it goes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde::ser::SerializeSeq;

use super::*;

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Newtype(u32);

#[derive(Serialize)]
struct Pair(u32, u32);

#[derive(Serialize)]
struct Point {
    x: u32,
    y: u32,
}

#[derive(Serialize)]
enum Shape {
    Empty,
    Circle(u32),
    Box(u32, u32),
    Text { size: u32 },
}

fn hash<T: Serialize + ?Sized>(value: &T) -> u64 {
    fingerprint(value).unwrap()
}

/// Stored fingerprints are compared by later builds: a change of any line here is a broken store.
fn joined(fingerprints: &[Option<u64>]) -> u64 {
    let mut joined = Joined::new();
    for fingerprint in fingerprints {
        joined.add(*fingerprint);
    }
    joined.finish()
}

#[test]
fn fingerprints_never_change() {
    let pinned = [
        (hash(&true), 0x5155_e650_b562_74f2_u64),
        (hash(&-1_i8), 0xff12_efc2_013d_972c_u64),
        (hash(&-1_i16), 0x8052_1e96_bc6c_a7a0_u64),
        (hash(&-1_i32), 0xf84a_4ea5_96ca_f686_u64),
        (hash(&-1_i64), 0x727d_1fd8_a354_314e_u64),
        (hash(&i128::MIN), 0x2b9d_0e23_1e41_8271_u64),
        (hash(&1_u8), 0x0c57_4dc9_a254_998f_u64),
        (hash(&1_u16), 0x30f8_273a_4f57_1d8b_u64),
        (hash(&1_u32), 0x27e8_ac81_e7bc_3b89_u64),
        (hash(&1_u64), 0xcf2a_d9cd_b261_ef5e_u64),
        (hash(&u128::MAX), 0x107b_3bf0_f765_ee32_u64),
        (hash(&1.5_f32), 0x0a90_8f40_c3bf_4f31_u64),
        (hash(&1.5_f64), 0x6a68_2dc9_dc94_b9f0_u64),
        (hash(&'é'), 0xdb5c_6748_dee6_59b4_u64),
        (hash("a text of more than eight bytes"), 0xc5aa_da06_8ff1_a186_u64),
        (hash(&None::<u32>), 0xda27_eb19_c3a2_a69f_u64),
        (hash(&Some(1_u32)), 0x462d_096d_1719_95e1_u64),
        (hash(&()), 0xce63_7ffb_158b_dee8_u64),
        (hash(&Unit), 0x7326_96a8_591a_8c47_u64),
        (hash(&Newtype(1)), 0x27e6_c78f_7bcc_8036_u64),
        (hash(&[1_u32, 2][..]), 0x29ea_36f1_5115_cff4_u64),
        (hash(&(1_u32, 2_u32)), 0xc76c_244a_8073_2c04_u64),
        (hash(&Pair(1, 2)), 0xd3f4_cda9_d9a1_2f0a_u64),
        (hash(&Point { x: 1, y: 2 }), 0x13bf_a1ab_8a9f_5c75_u64),
        (hash(&BTreeMap::from([("a", 1_u32), ("b", 2)])), 0x391b_34f8_55a5_64f3_u64),
        (hash(&Shape::Empty), 0x8e1a_b138_db02_6c10_u64),
        (hash(&Shape::Circle(1)), 0x1293_175a_293d_b72b_u64),
        (hash(&Shape::Box(1, 2)), 0xb89e_da40_5ec4_1956_u64),
        (hash(&Shape::Text { size: 1 }), 0xb0c2_ea46_5383_f12b_u64),
        (hash(&Bytes(b"bytes")), 0xdfcc_dd70_7d7e_86f3_u64),
        (joined(&[Some(1), None]), 0xab63_ab82_0630_0d79_u64),
    ];
    for (n, (found, pinned)) in pinned.into_iter().enumerate() {
        assert_eq!(found, pinned, "line {n}: {found:#x}");
    }
}

struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A sequence in a sequence, so many deep, that takes no memory.
struct Deep(u32);

impl Serialize for Deep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(1))?;
        if self.0 > 1 {
            seq.serialize_element(&Self(self.0 - 1))?;
        }
        seq.end()
    }
}

/// A `Some` in a `Some`, so many deep.
struct Wrapped(u32);

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { serializer.serialize_none() } else { serializer.serialize_some(&Self(self.0 - 1)) }
    }
}

#[test]
fn what_serde_tells_apart_differs() {
    let all = [
        hash(&Some(None::<u32>)),
        hash(&None::<Option<u32>>),
        hash(&()),
        hash(&0.0_f64),
        hash(&-0.0_f64),
        hash(&0.0_f32),
        hash(&f64::NAN),
        hash(&f64::INFINITY),
        hash(&0_u8),
        hash(&0_i8),
        hash(&0_u64),
        hash(&'a'),
        hash("a"),
        hash("a\0"),
        hash(""),
        hash(&Bytes(b"a")),
        hash(&[0_u8; 0][..]),
        hash(&[0_u8][..]),
        hash(&[0_u8, 0][..]),
        hash(&(0_u8, 0_u8)),
        hash(&Pair(1, 2)),
        hash(&Pair(2, 1)),
        hash(&Point { x: 1, y: 2 }),
        hash(&Point { x: 2, y: 1 }),
        hash(&Newtype(1)),
        hash(&Shape::Circle(1)),
        hash(&[[1_u8, 2], [3, 4]][..]),
        hash(&[[1_u8, 3], [2, 4]][..]),
        hash(&BTreeMap::from([(1_u8, 2_u8), (2, 1)])),
        hash(&BTreeMap::from([(1_u8, 1_u8), (2, 2)])),
    ];
    let distinct: HashSet<u64> = all.into_iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:x?}");
}

#[test]
fn the_order_of_sets_and_maps_does_not_count() {
    let numbers = || 0..100_u32;
    let set: HashSet<u32> = numbers().collect();
    let map: HashMap<u32, String> = numbers().map(|n| (n, n.to_string())).collect();
    for _ in 0..4 {
        // A new `HashSet` has its own random order.
        assert_eq!(hash(&set), hash(&numbers().rev().collect::<HashSet<u32>>()));
        assert_eq!(hash(&map), hash(&map.clone().into_iter().collect::<HashMap<_, _>>()));
    }
    assert_eq!(hash(&map), hash(&map.into_iter().collect::<BTreeMap<_, _>>()));
}

#[test]
fn a_value_that_is_nested_too_deep_is_refused_before_the_stack_ends() {
    assert!(fingerprint(&Deep(LEVELS_MAX)).is_ok());
    assert!(fingerprint(&Wrapped(CALLS_MAX)).is_ok());
    for levels in [LEVELS_MAX + 1, 200, 100_000] {
        assert_eq!(fingerprint(&Deep(levels)), Err(FingerprintError::TooDeep), "{levels}");
    }
    for calls in [CALLS_MAX + 1, 100_000] {
        assert_eq!(fingerprint(&Wrapped(calls)), Err(FingerprintError::TooDeep), "{calls}");
    }
}

/// One level less than `LEVELS_MAX` must be what JSON reads, or the limits drift apart.
#[test]
fn serde_json_reads_as_many_levels_as_we_write() {
    let read = |levels: u32| {
        let json = serde_json::to_string(&Deep(levels)).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).is_ok()
    };
    assert!(read(LEVELS_MAX) && !read(LEVELS_MAX + 1));
}

#[test]
fn a_type_that_refuses_has_no_fingerprint() {
    struct Locked;
    impl Serialize for Locked {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(ser::Error::custom("it is locked"))
        }
    }
    assert_eq!(fingerprint(&[Locked][..]).unwrap_err().to_string(), "its `Serialize` failed: it is locked");
}
