//! A 64-bit hash of a value's serde calls: what serde says of it, before any format has a say. Two values with
//! one fingerprint serialize alike, so a value that lost something in JSON shows.
//! Stored in databases, so it is the same for ever: on every machine, in every build. The order of the elements
//! of sequences and maps does not count, as a set comes back in another order; JSON keeps that of lists.
//! Nesting is bounded here, before any recursion of a format begins.

use std::fmt::Display;

use serde::ser::{self, Serialize};

/// The most levels of JSON that a value may be nested: what `serde_json` reads back.
pub(crate) const LEVELS_MAX: u32 = 127;

/// The most serde calls that may be nested. Options and newtypes nest calls without nesting JSON.
const CALLS_MAX: u32 = 512;

/// Why a value has no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it is nested deeper than {LEVELS_MAX} levels")]
    TooDeep,
    #[error("{0}")]
    Custom(String),
}

impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// The fingerprint of `value`.
pub(crate) fn fingerprint<T: Serialize + ?Sized>(value: &T) -> Result<u64, Refused> {
    value.serialize(Hasher { levels: 0, calls: 0 })
}

/// The hash of some bytes: FNV-1a (Fowler, Noll, Vo), and the final mix of Murmur3 so that every bit counts.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    mix(fnv)
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Two hashes in order.
fn then(a: u64, b: u64) -> u64 {
    mix(a.rotate_left(5) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What kind of serde call was made; part of each hash, so that `1` and `Some(1)` differ.
#[derive(Clone, Copy)]
enum Call {
    Bool,
    Signed,
    Unsigned,
    F32,
    F64,
    Char,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    UnitStruct,
    UnitVariant,
    Newtype,
    NewtypeVariant,
    List,
    Tuple,
    TupleStruct,
    TupleVariant,
    Map,
    Struct,
    StructVariant,
}

fn leaf(call: Call, bytes: &[u8]) -> u64 {
    then(call as u64 + 1, hash(bytes))
}

fn named(call: Call, name: &str, variant: &str) -> u64 {
    then(leaf(call, name.as_bytes()), hash(variant.as_bytes()))
}

/// The serializer: its result is the hash.
#[derive(Clone, Copy)]
struct Hasher {
    levels: u32,
    calls: u32,
}

impl Hasher {
    /// The serializer of what stands below a call that JSON nests `levels` deep.
    fn below(self, levels: u32) -> Result<Self, Refused> {
        let below = Self { levels: self.levels + levels, calls: self.calls + 1 };
        if below.levels > LEVELS_MAX || below.calls > CALLS_MAX { Err(Refused::TooDeep) } else { Ok(below) }
    }

    fn gather(self, levels: u32, start: u64, ordered: bool) -> Result<Gather, Refused> {
        Ok(Gather { hasher: self.below(levels)?, start, elements: 0, sum: 0, ordered, key: 0 })
    }
}

/// The hash of a compound value under way.
struct Gather {
    hasher: Hasher,
    start: u64,
    elements: u64,
    sum: u64,
    ordered: bool,
    key: u64,
}

impl Gather {
    fn add(&mut self, hash: u64) {
        self.elements += 1;
        self.sum = if self.ordered { then(self.sum, hash) } else { self.sum.wrapping_add(mix(hash)) };
    }

    fn value<T: Serialize + ?Sized>(&self, value: &T) -> Result<u64, Refused> {
        value.serialize(self.hasher)
    }

    fn finish(self) -> u64 {
        then(then(self.start, self.elements), self.sum)
    }
}

macro_rules! leaves {
    ($($method:ident($type:ty): $call:ident, $value:ident => $bytes:expr;)+) => {$(
        fn $method(self, $value: $type) -> Result<u64, Refused> {
            Ok(leaf(Call::$call, &$bytes))
        }
    )+};
}

impl ser::Serializer for Hasher {
    type Ok = u64;
    type Error = Refused;
    type SerializeSeq = Gather;
    type SerializeTuple = Gather;
    type SerializeTupleStruct = Gather;
    type SerializeTupleVariant = Gather;
    type SerializeMap = Gather;
    type SerializeStruct = Gather;
    type SerializeStructVariant = Gather;

    leaves! {
        serialize_bool(bool): Bool, v => [u8::from(v)];
        serialize_i8(i8): Signed, v => i128::from(v).to_le_bytes();
        serialize_i16(i16): Signed, v => i128::from(v).to_le_bytes();
        serialize_i32(i32): Signed, v => i128::from(v).to_le_bytes();
        serialize_i64(i64): Signed, v => i128::from(v).to_le_bytes();
        serialize_i128(i128): Signed, v => v.to_le_bytes();
        serialize_u8(u8): Unsigned, v => u128::from(v).to_le_bytes();
        serialize_u16(u16): Unsigned, v => u128::from(v).to_le_bytes();
        serialize_u32(u32): Unsigned, v => u128::from(v).to_le_bytes();
        serialize_u64(u64): Unsigned, v => u128::from(v).to_le_bytes();
        serialize_u128(u128): Unsigned, v => v.to_le_bytes();
        serialize_f32(f32): F32, v => v.to_bits().to_le_bytes();
        serialize_f64(f64): F64, v => v.to_bits().to_le_bytes();
        serialize_char(char): Char, v => u32::from(v).to_le_bytes();
        serialize_unit_struct(&'static str): UnitStruct, v => v.as_bytes();
    }

    fn serialize_str(self, v: &str) -> Result<u64, Refused> {
        Ok(leaf(Call::Text, v.as_bytes()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<u64, Refused> {
        Ok(leaf(Call::Bytes, v))
    }

    fn serialize_none(self) -> Result<u64, Refused> {
        Ok(leaf(Call::None, &[]))
    }

    fn serialize_unit(self) -> Result<u64, Refused> {
        Ok(leaf(Call::Unit, &[]))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Refused> {
        Ok(then(leaf(Call::Some, &[]), value.serialize(self.below(0)?)?))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<u64, Refused> {
        Ok(named(Call::UnitVariant, name, variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<u64, Refused> {
        Ok(then(named(Call::Newtype, name, ""), value.serialize(self.below(0)?)?))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, Refused> {
        Ok(then(named(Call::NewtypeVariant, name, variant), value.serialize(self.below(1)?)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Gather, Refused> {
        self.gather(1, leaf(Call::List, &[]), false)
    }

    fn serialize_tuple(self, _: usize) -> Result<Gather, Refused> {
        self.gather(1, leaf(Call::Tuple, &[]), true)
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Gather, Refused> {
        self.gather(1, named(Call::TupleStruct, name, ""), true)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Gather, Refused> {
        self.gather(2, named(Call::TupleVariant, name, variant), true)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Gather, Refused> {
        self.gather(1, leaf(Call::Map, &[]), false)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Gather, Refused> {
        self.gather(1, named(Call::Struct, name, ""), false)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Gather, Refused> {
        self.gather(2, named(Call::StructVariant, name, variant), false)
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident;)+) => {$(
        impl ser::$trait for Gather {
            type Ok = u64;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                let hash = self.value(value)?;
                self.add(hash);
                Ok(())
            }

            fn end(self) -> Result<u64, Refused> {
                Ok(self.finish())
            }
        }
    )+};
}

elements! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)+) => {$(
        impl ser::$trait for Gather {
            type Ok = u64;
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
                let hash = then(hash(name.as_bytes()), self.value(value)?);
                self.add(hash);
                Ok(())
            }

            fn end(self) -> Result<u64, Refused> {
                Ok(self.finish())
            }
        }
    )+};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Gather {
    type Ok = u64;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = self.value(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let hash = then(self.key, self.value(value)?);
        self.add(hash);
        Ok(())
    }

    fn end(self) -> Result<u64, Refused> {
        Ok(self.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use super::*;

    #[test]
    fn fingerprints_are_the_same_for_ever() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(fingerprint(&(1_u8, "two", Some(3.5))).unwrap(), PINNED);
    }

    const PINNED: u64 = 0;

    #[test]
    fn what_json_confuses_differs() {
        let prints = [
            fingerprint(&None::<u8>).unwrap(),
            fingerprint(&Some(None::<u8>)).unwrap(),
            fingerprint(&()).unwrap(),
            fingerprint(&f64::NAN).unwrap(),
            fingerprint(&0.0_f64).unwrap(),
            fingerprint(&-0.0_f64).unwrap(),
            fingerprint(&1_u8).unwrap(),
            fingerprint(&1_i8).unwrap(),
            fingerprint(&"1").unwrap(),
            fingerprint(&'1').unwrap(),
            fingerprint(&(1, 2)).unwrap(),
            fingerprint(&(2, 1)).unwrap(),
            fingerprint(&vec![1, 2]).unwrap(),
            fingerprint(&vec![1, 1]).unwrap(),
            fingerprint(&vec![2, 2]).unwrap(),
            fingerprint(&Vec::<u8>::new()).unwrap(),
        ];
        assert_eq!(prints.iter().collect::<HashSet<_>>().len(), prints.len());
    }

    #[test]
    fn sets_and_maps_have_no_order() {
        let numbers: Vec<u32> = (0..100).collect();
        let set: HashSet<_> = numbers.iter().copied().collect();
        assert_eq!(fingerprint(&set).unwrap(), fingerprint(&numbers).unwrap());
        let sorted: BTreeMap<_, _> = numbers.iter().map(|n| (*n, n * 2)).collect();
        let hashed: HashMap<_, _> = sorted.clone().into_iter().collect();
        assert_eq!(fingerprint(&hashed).unwrap(), fingerprint(&sorted).unwrap());
    }

    #[test]
    fn nesting_is_bounded() {
        #[derive(Serialize)]
        struct Chain(Option<Box<Chain>>);
        let chain = |links| (0..links).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
        assert!(fingerprint(&chain(100)).is_ok());
        assert_eq!(fingerprint(&chain(10_000)), Err(Refused::TooDeep));
        let array =
            |levels: u32| (0..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert!(fingerprint(&array(LEVELS_MAX)).is_ok());
        assert_eq!(fingerprint(&array(LEVELS_MAX + 1)), Err(Refused::TooDeep));
    }
}
