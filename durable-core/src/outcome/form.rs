//! The forms: how one side of a return type, its value or its error, becomes JSON and comes back.
//! Which form a type has is picked at compile time, by the probes of `probe`. The only file that calls
//! `serde_json`. Checks nothing but that: [`super::settle`] does.

use std::any::type_name;
use std::fmt::Display;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Tried, Undecodable, Unstorable};
use crate::failed::{FailureKind, StepFailed};
use crate::fingerprint::{Seen, inspect};

/// How one side of a return type is stored: its value, or its error.
///
/// Which form a type has is picked by the probes of `probe`.
pub trait Form: Copy {
    /// The type.
    type Value;

    /// The fingerprint of `value`; one for all values of a type whose values are equal by construction once
    /// decoded.
    fn inspect(self, value: &Self::Value) -> Result<Seen, Unstorable>;

    /// The JSON of `value`.
    fn encode(self, tried: Tried<'_>, value: &Self::Value) -> Result<String, Unstorable>;

    /// The value of `json`.
    fn decode(self, json: &str) -> Result<Self::Value, Undecodable>;

    /// The value that stands for `failed`, or `failed` itself if the type cannot hold it.
    fn rebuild(self, failed: StepFailed) -> Result<Self::Value, StepFailed> {
        Err(failed)
    }
}

/// The form of a type that is serde both ways: its own JSON.
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

/// The form of an error that is serde both ways and holds a [`StepFailed`] too: its own JSON, or the failure.
#[derive(Debug)]
pub struct JsonOrFailed<E>(PhantomData<fn() -> E>);

/// The form of an error that can be printed and made from a [`StepFailed`]: its message.
#[derive(Debug)]
pub struct Message<E>(PhantomData<fn() -> E>);

/// The form of a type that has none. It never runs: the check that stands beside it does not compile.
#[derive(Debug)]
pub struct Missing<T>(PhantomData<fn() -> T>);

macro_rules! forms {
    ($($form:ident),+) => {$(
        impl<T> $form<T> {
            /// The one value.
            pub const NEW: Self = Self(PhantomData);
        }
        impl<T> Clone for $form<T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T> Copy for $form<T> {}
    )+};
}

forms!(Json, JsonOrFailed, Message, Missing);

impl<T: Serialize + DeserializeOwned> Form for Json<T> {
    type Value = T;

    fn inspect(self, value: &T) -> Result<Seen, Unstorable> {
        inspect(value).map_err(|error| Unstorable::refused(type_name::<T>(), error))
    }

    fn encode(self, _tried: Tried<'_>, value: &T) -> Result<String, Unstorable> {
        write(value)
    }

    fn decode(self, json: &str) -> Result<T, Undecodable> {
        read(json)
    }
}

impl<E: Serialize + DeserializeOwned + From<StepFailed>> Form for JsonOrFailed<E> {
    type Value = E;

    fn inspect(self, error: &E) -> Result<Seen, Unstorable> {
        Json::NEW.inspect(error)
    }

    fn encode(self, _tried: Tried<'_>, error: &E) -> Result<String, Unstorable> {
        write(error)
    }

    fn decode(self, json: &str) -> Result<E, Undecodable> {
        read(json)
    }

    fn rebuild(self, failed: StepFailed) -> Result<E, StepFailed> {
        Ok(E::from(failed))
    }
}

impl<E: From<StepFailed> + Display> Form for Message<E> {
    type Value = E;

    fn inspect(self, _error: &E) -> Result<Seen, Unstorable> {
        Ok(Seen::ANY)
    }

    fn encode(self, tried: Tried<'_>, error: &E) -> Result<String, Unstorable> {
        // The alternate form: `anyhow` prints the chain of its causes there.
        let message = format!("{error:#}");
        let failed = StepFailed::new(FailureKind::Error, tried.step, message, tried.attempts);
        write(&StoredFailure { failed })
    }

    fn decode(self, json: &str) -> Result<E, Undecodable> {
        read::<StoredFailure>(json).map(|stored| E::from(stored.failed))
    }

    fn rebuild(self, failed: StepFailed) -> Result<E, StepFailed> {
        Ok(E::from(failed))
    }
}

impl<T> Form for Missing<T> {
    type Value = T;

    fn inspect(self, _value: &T) -> Result<Seen, Unstorable> {
        Err(Unstorable::Missing { type_name: type_name::<T>() })
    }

    fn encode(self, _tried: Tried<'_>, _value: &T) -> Result<String, Unstorable> {
        Err(Unstorable::Missing { type_name: type_name::<T>() })
    }

    fn decode(self, _json: &str) -> Result<T, Undecodable> {
        Err(Undecodable::Json { type_name: type_name::<T>(), reason: "it has no stored form".to_owned() })
    }
}

/// A [`StepFailed`] in the place of an error.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredFailure {
    #[serde(rename = "durable::StepFailed")]
    pub(super) failed: StepFailed,
}

impl StoredFailure {
    pub(super) const PREFIX: &str = r#"{"durable::StepFailed":"#;
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<String, Unstorable> {
    // The type's own refusals came out of the fingerprint, which goes first: what is left to fail is a map
    // key.
    serde_json::to_string(value)
        .map_err(|error| Unstorable::MapKey { type_name: type_name::<T>(), reason: error.to_string() })
}

pub(super) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Undecodable> {
    serde_json::from_str(json)
        .map_err(|error| Undecodable::Json { type_name: type_name::<T>(), reason: error.to_string() })
}

/// Returns the JSON of an argument that is kept for people to read, or `None` if it has none.
pub(crate) fn describe<T: Serialize + ?Sized>(argument: &T) -> Option<String> {
    // Before the encoder recurses: this pass refuses what is nested too deep.
    inspect(argument).ok()?;
    serde_json::to_string(argument).ok()
}

/// Refuses a text that is no JSON, or none that could be read back.
///
/// # Errors
/// What the decoder says.
pub(crate) fn check_json(json: &str) -> Result<(), String> {
    serde_json::from_str::<serde_json::Value>(json).map(drop).map_err(|error| error.to_string())
}
