//! The fingerprint of a value: a 64-bit hash of the calls that the value makes to a serde `Serializer`.
//! Two values of one type that differ in anything serde can see differ here too: `Some(None)` and `None`,
//! `0.0` and `-0.0`, a variant and another of the same content. Only order is given up, and only where the
//! program does not decide it: over the elements of sequences (a `HashSet` is one for serde) and of maps.
//! Fields count by name; tuples count in order.
//!
//! The hash is stored and compared by later builds on other machines, so it is written out here and must
//! never change. A value that is nested too deep is refused, which makes this the pass that goes before any
//! other recursion over a value of the user. Knows no JSON.

mod mixer;

use std::fmt::Display;

use serde::ser::{self, Serialize, Serializer};

use mixer::{Kind, Mixer, halves};

/// How many sequences, maps, structs, tuples and variants may lie in one another: with the scalar at the
/// bottom 128 levels, which is what `serde_json` reads back.
pub(crate) const LEVELS_MAX: u32 = 127;

/// How many calls may lie in one another. `Some` and newtypes make one each without a level of JSON.
const CALLS_MAX: u32 = 4 * (LEVELS_MAX + 1);

/// Returns the fingerprint of `value`: the same on every platform and in every build.
///
/// # Errors
/// If the value is nested too deep, or its `Serialize` fails.
pub(crate) fn fingerprint<T: Serialize + ?Sized>(value: &T) -> Result<u64, FingerprintError> {
    Ok(inspect(value)?.hash)
}

/// Returns the fingerprint of `value` and what a JSON text of it will not tell apart.
pub(crate) fn inspect<T: Serialize + ?Sized>(value: &T) -> Result<Seen, FingerprintError> {
    value.serialize(Hashing { levels: 0, calls: 0 })
}

/// Joins the fingerprints of a list, in order; an element without one counts by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    mixer: Mixer,
    count: u64,
}

impl Joined {
    pub(crate) fn new() -> Self {
        Self { mixer: Mixer::new(Kind::List), count: 0 }
    }

    pub(crate) fn add(&mut self, fingerprint: Option<u64>) {
        self.mixer = match fingerprint {
            Some(hash) => self.mixer.word(1).word(hash),
            None => self.mixer.word(0),
        };
        self.count += 1;
    }

    pub(crate) fn finish(self) -> u64 {
        self.mixer.word(self.count).0
    }
}

/// The hash of some bytes, of the same kind: for rows, for builds, for random values that replay.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    Mixer::new(Kind::Bytes).bytes(bytes).0
}

/// Why a value has no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FingerprintError {
    /// Sequences, maps and structs lie in one another too often.
    #[error("it is nested in more than 128 levels")]
    TooDeep,
    /// The type's own `Serialize` refused.
    #[error("its `Serialize` failed: {0}")]
    Serialize(String),
}

impl ser::Error for FingerprintError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Serialize(message.to_string())
    }
}

/// What one pass over a value saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub(crate) hash: u64,
    /// The first thing in it that JSON writes in a way that reads back as something else.
    pub(crate) lossy: Option<Lossy>,
    /// JSON writes all of it as `null`.
    null: bool,
}

/// A thing that JSON cannot tell from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lossy {
    /// NaN or an infinity: JSON writes `null`.
    NotFinite,
    /// `Some` of something that JSON writes as `null`: it reads back as `None`.
    SomeOfNull,
}

impl Seen {
    /// Stands for any value of a type whose values are not compared.
    pub(crate) const ANY: Self = Self { hash: 0, lossy: None, null: false };

    fn new(mixer: Mixer) -> Self {
        Self { hash: mixer.0, lossy: None, null: false }
    }

    fn null(mixer: Mixer) -> Self {
        Self { null: true, ..Self::new(mixer) }
    }

    fn float(mixer: Mixer, finite: bool) -> Self {
        if finite { Self::new(mixer) } else { Self { lossy: Some(Lossy::NotFinite), ..Self::null(mixer) } }
    }
}

/// What one call gives.
type Hashed = Result<Seen, FingerprintError>;

/// The serializer: how deep the value at hand lies, and nothing else.
#[derive(Clone, Copy)]
struct Hashing {
    levels: u32,
    calls: u32,
}

impl Hashing {
    /// Where the content of the value at hand lies, if JSON puts it `levels` deeper.
    fn inside(self, levels: u32) -> Result<Self, FingerprintError> {
        let inner = Self { levels: self.levels + levels, calls: self.calls + 1 };
        let fits = inner.levels <= LEVELS_MAX && inner.calls <= CALLS_MAX;
        if fits { Ok(inner) } else { Err(FingerprintError::TooDeep) }
    }

    fn parts(self, mixer: Mixer, levels: u32) -> Result<Parts, FingerprintError> {
        let inside = self.inside(levels)?;
        Ok(Parts { inside, ordered: mixer, unordered: 0, count: 0, key: 0, lossy: None })
    }

    /// A value that wraps one other.
    fn wrapping<T: Serialize + ?Sized>(self, mixer: Mixer, inner: &T, levels: u32) -> Hashed {
        let seen = inner.serialize(self.inside(levels)?)?;
        Ok(Seen { hash: mixer.word(seen.hash).0, ..seen })
    }
}

/// The methods for values of one or two words.
macro_rules! scalars {
    ($($method:ident($v:ident: $ty:ty) => $kind:expr, $words:expr;)+) => {$(
        fn $method(self, $v: $ty) -> Hashed {
            Ok(Seen::new($words.into_iter().fold(Mixer::new($kind), Mixer::word)))
        }
    )+};
}

impl Serializer for Hashing {
    type Ok = Seen;
    type Error = FingerprintError;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    fn is_human_readable(&self) -> bool {
        true
    }

    scalars! {
        serialize_bool(v: bool) => Kind::Bool, [u64::from(v)];
        serialize_i8(v: i8) => Kind::I8, [i64::from(v).cast_unsigned()];
        serialize_i16(v: i16) => Kind::I16, [i64::from(v).cast_unsigned()];
        serialize_i32(v: i32) => Kind::I32, [i64::from(v).cast_unsigned()];
        serialize_i64(v: i64) => Kind::I64, [v.cast_unsigned()];
        serialize_i128(v: i128) => Kind::I128, halves(v.to_le_bytes());
        serialize_u8(v: u8) => Kind::U8, [u64::from(v)];
        serialize_u16(v: u16) => Kind::U16, [u64::from(v)];
        serialize_u32(v: u32) => Kind::U32, [u64::from(v)];
        serialize_u64(v: u64) => Kind::U64, [v];
        serialize_u128(v: u128) => Kind::U128, halves(v.to_le_bytes());
        serialize_char(v: char) => Kind::Char, [u64::from(v)];
    }

    fn serialize_f32(self, v: f32) -> Hashed {
        Ok(Seen::float(Mixer::new(Kind::F32).word(u64::from(v.to_bits())), v.is_finite()))
    }

    fn serialize_f64(self, v: f64) -> Hashed {
        Ok(Seen::float(Mixer::new(Kind::F64).word(v.to_bits()), v.is_finite()))
    }

    fn serialize_str(self, v: &str) -> Hashed {
        Ok(Seen::new(Mixer::new(Kind::Str).text(v)))
    }

    fn serialize_bytes(self, v: &[u8]) -> Hashed {
        Ok(Seen::new(Mixer::new(Kind::Bytes).bytes(v)))
    }

    fn serialize_none(self) -> Hashed {
        Ok(Seen::null(Mixer::new(Kind::None)))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Hashed {
        let seen = self.wrapping(Mixer::new(Kind::Some), value, 0)?;
        Ok(Seen { lossy: seen.lossy.or(seen.null.then_some(Lossy::SomeOfNull)), ..seen })
    }

    fn serialize_unit(self) -> Hashed {
        Ok(Seen::null(Mixer::new(Kind::Unit)))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Hashed {
        Ok(Seen::null(Mixer::new(Kind::UnitStruct).text(name)))
    }

    fn serialize_unit_variant(self, name: &'static str, _index: u32, variant: &'static str) -> Hashed {
        Ok(Seen::new(Mixer::new(Kind::UnitVariant).text(name).text(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Hashed {
        self.wrapping(Mixer::new(Kind::NewtypeStruct).text(name), value, 0)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Hashed {
        let seen = self.wrapping(Mixer::new(Kind::NewtypeVariant).text(name).text(variant), value, 1)?;
        Ok(Seen { null: false, ..seen })
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::Seq), 1)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::Tuple), 1)
    }

    fn serialize_tuple_struct(self, name: &'static str, _len: usize) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::TupleStruct).text(name), 1)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::TupleVariant).text(name).text(variant), 2)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::Map), 1)
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::Struct).text(name), 1)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Parts, FingerprintError> {
        self.parts(Mixer::new(Kind::StructVariant).text(name).text(variant), 2)
    }
}

/// A value with several parts, half read.
struct Parts {
    inside: Hashing,
    /// Parts whose order counts.
    ordered: Mixer,
    /// The sum of the parts whose order does not count: unlike a xor, it does not cancel equal ones.
    unordered: u64,
    count: u64,
    /// The hash of the map key whose value comes next.
    key: u64,
    lossy: Option<Lossy>,
}

impl Parts {
    fn hash<T: Serialize + ?Sized>(&mut self, part: &T) -> Result<u64, FingerprintError> {
        let seen = part.serialize(self.inside)?;
        self.lossy = self.lossy.or(seen.lossy);
        Ok(seen.hash)
    }

    fn append<T: Serialize + ?Sized>(&mut self, part: &T) -> Result<(), FingerprintError> {
        let hash = self.hash(part)?;
        self.ordered = self.ordered.word(hash);
        self.count += 1;
        Ok(())
    }

    fn gather(&mut self, mixer: Mixer) {
        self.unordered = self.unordered.wrapping_add(mixer.0);
        self.count += 1;
    }

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), FingerprintError> {
        let hash = self.hash(value)?;
        self.gather(Mixer::new(Kind::Field).text(name).word(hash));
        Ok(())
    }

    fn seen(self) -> Seen {
        let mixer = self.ordered.word(self.unordered).word(self.count);
        Seen { lossy: self.lossy, ..Seen::new(mixer) }
    }
}

impl ser::SerializeSeq for Parts {
    type Ok = Seen;
    type Error = FingerprintError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), FingerprintError> {
        let hash = self.hash(value)?;
        self.gather(Mixer::new(Kind::Element).word(hash));
        Ok(())
    }

    fn end(self) -> Hashed {
        Ok(self.seen())
    }
}

impl ser::SerializeMap for Parts {
    type Ok = Seen;
    type Error = FingerprintError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), FingerprintError> {
        self.key = self.hash(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), FingerprintError> {
        let hash = self.hash(value)?;
        self.gather(Mixer::new(Kind::Entry).word(self.key).word(hash));
        Ok(())
    }

    fn end(self) -> Hashed {
        Ok(self.seen())
    }
}

/// Implements the traits of the three ordered kinds and of the two named ones, which differ in names only.
macro_rules! parts {
    ($($kind:ident . $method:ident => $with:ident ( $($name:ident)? )),+) => {$(
        impl ser::$kind for Parts {
            type Ok = Seen;
            type Error = FingerprintError;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), FingerprintError> {
                self.$with($($name,)? value)
            }

            fn end(self) -> Hashed {
                Ok(self.seen())
            }
        }
    )+};
}

parts! {
    SerializeTuple.serialize_element => append(),
    SerializeTupleStruct.serialize_field => append(),
    SerializeTupleVariant.serialize_field => append(),
    SerializeStruct.serialize_field => field(name),
    SerializeStructVariant.serialize_field => field(name)
}

#[cfg(test)]
mod tests;
