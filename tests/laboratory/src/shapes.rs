//! Values of any shape that serde has, drawn from a seed: a [`Shape`] is a type made up at run time, an [`Odd`] is a
//! value of it, and a [`Shaped`] passes for a type of the user's. Numbers are kept as bits, so two values are equal
//! only if they are the same bit for bit.
//! The one rule: what is written is told by the shape alone, and what is read as well, as a derived type would do it;
//! so a value that comes back as another has met something that its text does not tell.

mod read;

use std::cell::RefCell;
use std::sync::Arc;

use serde::ser::{
    SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeStructVariant as _,
    SerializeTuple as _, SerializeTupleVariant as _,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeSeed as _};

use crate::dice::Dice;

/// The names of fields and variants, in their order. Some are odd.
const NAMES: [&str; 6] = ["a", "", "b c", "\"\\", "日本", "type"];

/// So many levels a shape has, but for chains.
const LEVELS_MAX: u64 = 4;

/// So many levels a chain has at most: more than can be stored.
const CHAIN_MAX: u64 = 160;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `bool`.
    Bool,
    /// `i8` to `i128`, by the number of bits.
    Signed(u32),
    /// `u8` to `u128`, by the number of bits.
    Unsigned(u32),
    /// `f32`.
    Single,
    /// `f64`.
    Double,
    /// `char`.
    Char,
    /// `String`.
    Text,
    /// Bytes, as `serde_bytes` has them.
    Bytes,
    /// `()`.
    Unit,
    /// A struct without fields.
    UnitStruct,
    /// A struct that is another type.
    Newtype(Box<Shape>),
    /// `Option`.
    Maybe(Box<Shape>),
    /// `Vec`.
    List(Box<Shape>),
    /// A tuple.
    Tuple(Vec<Shape>),
    /// A map; its entries keep their order.
    Map(Box<(Shape, Shape)>),
    /// A struct with named fields.
    Struct(Vec<Shape>),
    /// An enum.
    Enum(Vec<Variant>),
}

/// A variant of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variant {
    /// Without a value.
    Unit,
    /// With one.
    Newtype(Shape),
    /// With several.
    Tuple(Vec<Shape>),
    /// With named ones.
    Struct(Vec<Shape>),
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Odd {
    /// Of a shape with one value.
    Unit,
    /// A `bool`.
    Bool(bool),
    /// An integer with a sign.
    Signed(i128),
    /// An integer without one.
    Unsigned(u128),
    /// A float, by its bits.
    Single(u32),
    /// A float, by its bits.
    Double(u64),
    /// A `char`.
    Char(char),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// `None`.
    None,
    /// `Some`, or what a newtype holds.
    One(Box<Odd>),
    /// The elements of a list, a tuple or a struct.
    Many(Vec<Odd>),
    /// The entries of a map.
    Entries(Vec<(Odd, Odd)>),
    /// A variant by its number, and its value.
    Variant(usize, Box<Odd>),
}

impl Shape {
    /// Any shape; one in so many is a chain of more levels than others have.
    pub fn drawn(dice: &mut Dice) -> Self {
        if dice.below(50) > 0 {
            return Self::of_levels(dice, LEVELS_MAX);
        }
        let levels = dice.below(CHAIN_MAX);
        (0..levels).fold(Self::of_levels(dice, 0), |shape, _| match dice.below(4) {
            0 => Self::Maybe(Box::new(shape)),
            1 => Self::Newtype(Box::new(shape)),
            2 => Self::Tuple(vec![shape]),
            _ => Self::List(Box::new(shape)),
        })
    }

    fn of_levels(dice: &mut Dice, levels: u64) -> Self {
        // Below the last level only shapes without others.
        let kinds = if levels == 0 { 10 } else { 18 };
        let bits = 8 << dice.below(5);
        let below = |dice: &mut Dice| Box::new(Self::of_levels(dice, levels - 1));
        match dice.below(kinds) {
            0 => Self::Bool,
            1 => Self::Signed(bits),
            2 => Self::Unsigned(bits),
            3 => Self::Single,
            4 => Self::Double,
            5 => Self::Char,
            6 => Self::Text,
            7 => Self::Bytes,
            8 => Self::Unit,
            9 => Self::UnitStruct,
            10 => Self::Newtype(below(dice)),
            11 | 12 => Self::Maybe(below(dice)),
            13 => Self::List(below(dice)),
            14 => Self::Tuple(Self::several(dice, levels - 1)),
            15 => Self::Map(Box::new((*below(dice), *below(dice)))),
            16 => Self::Struct(Self::several(dice, levels - 1)),
            _ => Self::Enum((0..=dice.below(3)).map(|_| Variant::drawn(dice, levels - 1)).collect()),
        }
    }

    fn several(dice: &mut Dice, levels: u64) -> Vec<Self> {
        (0..dice.below(NAMES.len() as u64)).map(|_| Self::of_levels(dice, levels)).collect()
    }

    /// A value of this type, often one of its ends.
    pub fn value(&self, dice: &mut Dice) -> Odd {
        let all = |shapes: &[Self], dice: &mut Dice| {
            Odd::Many(shapes.iter().map(|shape| shape.value(dice)).collect())
        };
        match self {
            Self::Bool => Odd::Bool(dice.coin()),
            Self::Signed(bits) => Odd::Signed(integer(dice).cast_signed() >> (128 - bits)),
            Self::Unsigned(bits) => Odd::Unsigned(integer(dice) >> (128 - bits)),
            Self::Single => Odd::Single(single(dice).to_bits()),
            Self::Double => Odd::Double(double(dice).to_bits()),
            Self::Char => Odd::Char(letter(dice)),
            Self::Text => Odd::Text((0..dice.below(6)).map(|_| letter(dice)).collect()),
            Self::Bytes => Odd::Bytes((0..dice.below(6)).map(|_| dice.roll().to_le_bytes()[0]).collect()),
            Self::Unit | Self::UnitStruct => Odd::Unit,
            Self::Maybe(_) if dice.below(3) == 0 => Odd::None,
            Self::Newtype(shape) | Self::Maybe(shape) => Odd::One(Box::new(shape.value(dice))),
            Self::List(shape) => Odd::Many((0..dice.below(3)).map(|_| shape.value(dice)).collect()),
            Self::Tuple(shapes) | Self::Struct(shapes) => all(shapes, dice),
            Self::Map(shapes) => {
                let entries = (0..dice.below(3)).map(|_| (shapes.0.value(dice), shapes.1.value(dice)));
                Odd::Entries(entries.collect())
            }
            Self::Enum(variants) => {
                let number = usize::try_from(dice.below(variants.len() as u64)).unwrap();
                let value = match &variants[number] {
                    Variant::Unit => Odd::Unit,
                    Variant::Newtype(shape) => shape.value(dice),
                    Variant::Tuple(shapes) | Variant::Struct(shapes) => all(shapes, dice),
                };
                Odd::Variant(number, Box::new(value))
            }
        }
    }

    /// Whether every value of this type is one that JSON gives back for sure: nothing in it is a float, which may be
    /// none; an option, which may hold what looks like none; a map, whose keys may be no text; or a chain.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::Single | Self::Double | Self::Maybe(_) | Self::Map(_) => false,
            Self::Newtype(shape) | Self::List(shape) => shape.is_plain(),
            Self::Tuple(shapes) | Self::Struct(shapes) => shapes.iter().all(Self::is_plain),
            Self::Enum(variants) => variants.iter().all(Variant::is_plain),
            _ => true,
        }
    }
}

impl Variant {
    fn drawn(dice: &mut Dice, levels: u64) -> Self {
        match dice.below(4) {
            0 => Self::Unit,
            1 => Self::Newtype(Shape::of_levels(dice, levels)),
            2 => Self::Tuple(Shape::several(dice, levels)),
            _ => Self::Struct(Shape::several(dice, levels)),
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Unit => true,
            Self::Newtype(shape) => shape.is_plain(),
            Self::Tuple(shapes) | Self::Struct(shapes) => shapes.iter().all(Shape::is_plain),
        }
    }
}

/// 128 bits: all, none, one, or any.
fn integer(dice: &mut Dice) -> u128 {
    match dice.below(6) {
        0 => u128::MAX,
        1 => 0,
        2 => 1 << 127,
        3 => u128::MAX >> 1,
        _ => u128::from(dice.roll()) << 64 | u128::from(dice.roll()),
    }
}

fn double(dice: &mut Dice) -> f64 {
    const ODD: [f64; 10] = [
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        0.1,
        9_007_199_254_740_993.0,
    ];
    match dice.below(20) {
        number @ 0..10 => ODD[usize::try_from(number).unwrap()],
        _ => f64::from_bits(dice.roll()),
    }
}

fn single(dice: &mut Dice) -> f32 {
    const ODD: [f32; 8] =
        [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45];
    match dice.below(16) {
        number @ 0..8 => ODD[usize::try_from(number).unwrap()],
        _ => f32::from_bits(u32::try_from(dice.below(1 << 32)).unwrap()),
    }
}

/// A letter of any plane, or one that a text is written with.
fn letter(dice: &mut Dice) -> char {
    match dice.below(4) {
        0 => ['\0', '"', '\\', '\u{7f}', '\u{2028}', '\u{10ffff}'][usize::try_from(dice.below(6)).unwrap()],
        1 => char::from(dice.roll().to_le_bytes()[0]),
        _ => char::from_u32(u32::try_from(dice.below(0x11_0000)).unwrap()).unwrap_or('\u{fffd}'),
    }
}

thread_local! {
    /// What a [`Shaped`] is read as on this thread.
    static EXPECTED: RefCell<Option<Arc<Shape>>> = const { RefCell::new(None) };
}

/// A value with its shape, which passes for a type of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaped {
    /// The type.
    pub shape: Arc<Shape>,
    /// The value.
    pub value: Odd,
}

impl Shaped {
    /// Any value of any shape; from here on this thread reads values of that shape.
    pub fn drawn(dice: &mut Dice) -> Self {
        let shape = Arc::new(Shape::drawn(dice));
        EXPECTED.set(Some(Arc::clone(&shape)));
        let value = shape.value(dice);
        Self { shape, value }
    }
}

impl Serialize for Shaped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Of(&self.shape, &self.value).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = EXPECTED.with_borrow(Clone::clone).expect("a shape is drawn before it is read");
        let value = read::As(&shape).deserialize(deserializer)?;
        Ok(Self { shape, value })
    }
}

/// A value as its shape writes it.
struct Of<'v>(&'v Shape, &'v Odd);

impl Serialize for Of<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "a value has the bits that its shape gave it")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (Shape::Bool, Odd::Bool(value)) => serializer.serialize_bool(*value),
            (Shape::Signed(8), Odd::Signed(value)) => serializer.serialize_i8(*value as i8),
            (Shape::Signed(16), Odd::Signed(value)) => serializer.serialize_i16(*value as i16),
            (Shape::Signed(32), Odd::Signed(value)) => serializer.serialize_i32(*value as i32),
            (Shape::Signed(64), Odd::Signed(value)) => serializer.serialize_i64(*value as i64),
            (Shape::Signed(_), Odd::Signed(value)) => serializer.serialize_i128(*value),
            (Shape::Unsigned(8), Odd::Unsigned(value)) => serializer.serialize_u8(*value as u8),
            (Shape::Unsigned(16), Odd::Unsigned(value)) => serializer.serialize_u16(*value as u16),
            (Shape::Unsigned(32), Odd::Unsigned(value)) => serializer.serialize_u32(*value as u32),
            (Shape::Unsigned(64), Odd::Unsigned(value)) => serializer.serialize_u64(*value as u64),
            (Shape::Unsigned(_), Odd::Unsigned(value)) => serializer.serialize_u128(*value),
            (Shape::Single, Odd::Single(bits)) => serializer.serialize_f32(f32::from_bits(*bits)),
            (Shape::Double, Odd::Double(bits)) => serializer.serialize_f64(f64::from_bits(*bits)),
            (Shape::Char, Odd::Char(value)) => serializer.serialize_char(*value),
            (Shape::Text, Odd::Text(value)) => serializer.serialize_str(value),
            (Shape::Bytes, Odd::Bytes(value)) => serializer.serialize_bytes(value),
            (Shape::Unit, Odd::Unit) => serializer.serialize_unit(),
            (Shape::UnitStruct, Odd::Unit) => serializer.serialize_unit_struct("U"),
            (Shape::Newtype(shape), Odd::One(value)) => {
                serializer.serialize_newtype_struct("N", &Of(shape, value))
            }
            (Shape::Maybe(_), Odd::None) => serializer.serialize_none(),
            (Shape::Maybe(shape), Odd::One(value)) => serializer.serialize_some(&Of(shape, value)),
            (Shape::List(shape), Odd::Many(values)) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(&Of(shape, value)))?;
                list.end()
            }
            (Shape::Tuple(shapes), Odd::Many(values)) => {
                let mut tuple = serializer.serialize_tuple(values.len())?;
                let mut parts = shapes.iter().zip(values);
                parts.try_for_each(|(shape, value)| tuple.serialize_element(&Of(shape, value)))?;
                tuple.end()
            }
            (Shape::Map(shapes), Odd::Entries(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&Of(&shapes.0, key), &Of(&shapes.1, value))?;
                }
                map.end()
            }
            (Shape::Struct(shapes), Odd::Many(values)) => {
                let mut fields = serializer.serialize_struct("S", values.len())?;
                for ((shape, value), name) in shapes.iter().zip(values).zip(NAMES) {
                    fields.serialize_field(name, &Of(shape, value))?;
                }
                fields.end()
            }
            (Shape::Enum(variants), Odd::Variant(number, value)) => {
                write_variant(serializer, &variants[*number], *number, value)
            }
            (shape, value) => unreachable!("{value:?} is no {shape:?}"),
        }
    }
}

fn write_variant<S: Serializer>(
    serializer: S,
    variant: &Variant,
    number: usize,
    value: &Odd,
) -> Result<S::Ok, S::Error> {
    let (index, name) = (u32::try_from(number).unwrap(), NAMES[number]);
    match (variant, value) {
        (Variant::Unit, _) => serializer.serialize_unit_variant("E", index, name),
        (Variant::Newtype(shape), value) => {
            serializer.serialize_newtype_variant("E", index, name, &Of(shape, value))
        }
        (Variant::Tuple(shapes), Odd::Many(values)) => {
            let mut tuple = serializer.serialize_tuple_variant("E", index, name, values.len())?;
            let mut parts = shapes.iter().zip(values);
            parts.try_for_each(|(shape, value)| tuple.serialize_field(&Of(shape, value)))?;
            tuple.end()
        }
        (Variant::Struct(shapes), Odd::Many(values)) => {
            let mut fields = serializer.serialize_struct_variant("E", index, name, values.len())?;
            for ((shape, value), name) in shapes.iter().zip(values).zip(NAMES) {
                fields.serialize_field(name, &Of(shape, value))?;
            }
            fields.end()
        }
        (variant, value) => unreachable!("{value:?} is no {variant:?}"),
    }
}
