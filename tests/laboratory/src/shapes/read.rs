//! The way back: a value is read as its shape says, by the calls that a derived type would make.

use std::fmt;

use serde::de::{
    DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize as _, Deserializer};

use super::{NAMES, Odd, Shape, Variant};

/// Reads a value of this shape.
#[derive(Clone, Copy)]
pub(super) struct As<'s>(pub(super) &'s Shape);

impl<'de> DeserializeSeed<'de> for As<'_> {
    type Value = Odd;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Odd, D::Error> {
        match self.0 {
            Shape::Bool => deserializer.deserialize_bool(self),
            // What a derived type reads by its field's own `Deserialize`.
            Shape::Signed(8) => i8::deserialize(deserializer).map(|value| Odd::Signed(value.into())),
            Shape::Signed(16) => i16::deserialize(deserializer).map(|value| Odd::Signed(value.into())),
            Shape::Signed(32) => i32::deserialize(deserializer).map(|value| Odd::Signed(value.into())),
            Shape::Signed(64) => i64::deserialize(deserializer).map(|value| Odd::Signed(value.into())),
            Shape::Signed(_) => i128::deserialize(deserializer).map(Odd::Signed),
            Shape::Unsigned(8) => u8::deserialize(deserializer).map(|value| Odd::Unsigned(value.into())),
            Shape::Unsigned(16) => u16::deserialize(deserializer).map(|value| Odd::Unsigned(value.into())),
            Shape::Unsigned(32) => u32::deserialize(deserializer).map(|value| Odd::Unsigned(value.into())),
            Shape::Unsigned(64) => u64::deserialize(deserializer).map(|value| Odd::Unsigned(value.into())),
            Shape::Unsigned(_) => u128::deserialize(deserializer).map(Odd::Unsigned),
            Shape::Single => f32::deserialize(deserializer).map(|value| Odd::Single(value.to_bits())),
            Shape::Double => f64::deserialize(deserializer).map(|value| Odd::Double(value.to_bits())),
            Shape::Char => char::deserialize(deserializer).map(Odd::Char),
            Shape::Text => String::deserialize(deserializer).map(Odd::Text),
            Shape::Bytes => deserializer.deserialize_byte_buf(self),
            Shape::Unit => deserializer.deserialize_unit(self),
            Shape::UnitStruct => deserializer.deserialize_unit_struct("U", self),
            Shape::Newtype(_) => deserializer.deserialize_newtype_struct("N", self),
            Shape::Maybe(_) => deserializer.deserialize_option(self),
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Tuple(shapes) => deserializer.deserialize_tuple(shapes.len(), self),
            Shape::Map(_) => deserializer.deserialize_map(self),
            Shape::Struct(shapes) => deserializer.deserialize_struct("S", &NAMES[..shapes.len()], self),
            Shape::Enum(variants) => deserializer.deserialize_enum("E", &NAMES[..variants.len()], self),
        }
    }
}

impl<'de> Visitor<'de> for As<'_> {
    type Value = Odd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {:?}", self.0)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Odd, E> {
        Ok(Odd::Bool(value))
    }

    fn visit_byte_buf<E: Error>(self, value: Vec<u8>) -> Result<Odd, E> {
        Ok(Odd::Bytes(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Odd, E> {
        Ok(if matches!(self.0, Shape::Maybe(_)) { Odd::None } else { Odd::Unit })
    }

    fn visit_none<E: Error>(self) -> Result<Odd, E> {
        Ok(Odd::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Odd, D::Error> {
        self.one(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Odd, D::Error> {
        self.one(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Odd, A::Error> {
        match self.0 {
            Shape::Bytes => {
                let mut bytes = Vec::new();
                while let Some(byte) = elements.next_element()? {
                    bytes.push(byte);
                }
                Ok(Odd::Bytes(bytes))
            }
            Shape::List(shape) => {
                let mut all = Vec::new();
                while let Some(value) = elements.next_element_seed(As(shape))? {
                    all.push(value);
                }
                Ok(Odd::Many(all))
            }
            Shape::Tuple(shapes) | Shape::Struct(shapes) => Fields(shapes).visit_seq(elements),
            other => Err(A::Error::custom(format!("a list is no {other:?}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Odd, A::Error> {
        match self.0 {
            Shape::Map(shapes) => {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry_seed(As(&shapes.0), As(&shapes.1))? {
                    all.push(entry);
                }
                Ok(Odd::Entries(all))
            }
            Shape::Struct(shapes) => Fields(shapes).visit_map(entries),
            other => Err(A::Error::custom(format!("a map is no {other:?}"))),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Odd, A::Error> {
        let Shape::Enum(variants) = self.0 else { return Err(A::Error::custom("a variant")) };
        let (name, content): (String, _) = access.variant()?;
        let known = NAMES[..variants.len()].iter().position(|known| *known == name);
        let number = known.ok_or_else(|| A::Error::custom("an unknown variant"))?;
        let value = match &variants[number] {
            Variant::Unit => content.unit_variant().map(|()| Odd::Unit)?,
            Variant::Newtype(shape) => content.newtype_variant_seed(As(shape))?,
            Variant::Tuple(shapes) => content.tuple_variant(shapes.len(), Fields(shapes))?,
            Variant::Struct(shapes) => content.struct_variant(&NAMES[..shapes.len()], Fields(shapes))?,
        };
        Ok(Odd::Variant(number, Box::new(value)))
    }
}

impl As<'_> {
    /// What a newtype or an option holds.
    fn one<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Odd, D::Error> {
        let (Shape::Newtype(shape) | Shape::Maybe(shape)) = self.0 else {
            return Err(D::Error::custom("one value"));
        };
        As(shape).deserialize(deserializer).map(|value| Odd::One(Box::new(value)))
    }
}

/// Reads the fields of a struct or a tuple.
struct Fields<'s>(&'s [Shape]);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Odd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fields", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Odd, A::Error> {
        let mut all = Vec::new();
        for shape in self.0 {
            let value = elements.next_element_seed(As(shape))?;
            all.push(value.ok_or_else(|| A::Error::invalid_length(all.len(), &self))?);
        }
        Ok(Odd::Many(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Odd, A::Error> {
        let mut all = vec![None; self.0.len()];
        while let Some(name) = entries.next_key::<String>()? {
            match NAMES[..all.len()].iter().position(|known| *known == name) {
                Some(number) => all[number] = Some(entries.next_value_seed(As(&self.0[number]))?),
                None => _ = entries.next_value::<IgnoredAny>()?,
            }
        }
        let whole: Option<_> = all.into_iter().collect();
        whole.map(Odd::Many).ok_or_else(|| A::Error::custom("a field is missing"))
    }
}
