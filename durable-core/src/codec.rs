//! How each kind of return type is written and read, for the tags that `probe` chose.
//! An error that is not stored itself is stored as a `StepFailed`, and the live caller gets the rebuilt one too, so that
//! a failure and its replay look the same.
//! Knows no JSON: that is `outcome`'s.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::outcome::{
    Encoded, FailureKind, SettledFailure, StepFailed, Undecodable, Unstorable as Refusal, decode_input,
    encode_input, read, round_trip, seal, unseal,
};
use crate::probe::{Json, JsonOrFailed, Message, ResCodec, Unstorable, ValCodec};
use crate::store::StepStatus;

/// How a function's return type is stored.
pub trait Codec: Copy {
    /// What the function returns.
    type Returned;

    /// Encodes `returned`, decodes that again, and refuses it unless it came back as it was.
    fn settle(
        self,
        step: &str,
        returned: Self::Returned,
        bytes_max: usize,
    ) -> Result<(Encoded, Self::Returned), Refusal>;

    /// Encodes a failure that is not the function's own error: a panic, a timeout.
    fn settle_failed(
        self,
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<SettledFailure<Self::Returned>, Refusal>;

    /// Gives back what was stored.
    fn decode(self, status: StepStatus, json: &str) -> Result<Self::Returned, Undecodable>;

    /// Whether `returned` is an error.
    fn is_failure(self, returned: &Self::Returned) -> bool;

    /// `failed` as the function would return it, or itself where the type has no room for it.
    fn fail(self, failed: StepFailed) -> Result<Self::Returned, StepFailed>;
}

/// How the arguments of a workflow are stored.
pub trait InputCodec: Copy {
    /// The arguments, as a tuple.
    type Input;

    /// Their JSON and their fingerprint, once they are known to come back as they are.
    fn encode(self, input: &Self::Input, bytes_max: usize) -> Result<(String, u64), Refusal>;

    /// The arguments that were stored, and their fingerprint.
    fn decode(self, json: &str) -> Result<(Self::Input, u64), Undecodable>;
}

/// How a value is stored, by its tag. A codec names the tag alone: were the value's type a parameter too, the compiler would
/// have to prove the lifetimes in both the same, which it cannot do for a future that must be `Send`.
pub trait Store: Copy {
    #[doc(hidden)]
    type Value;
    #[doc(hidden)]
    fn settle(value: Self::Value, bytes_max: usize) -> Result<(String, Self::Value), Refusal>;
    #[doc(hidden)]
    fn read(json: &str) -> Result<Self::Value, Undecodable>;
}

/// How an error is stored, by its tag.
pub trait StoreError: Copy {
    #[doc(hidden)]
    type Error;
    #[doc(hidden)]
    fn settle(step: &str, error: Self::Error, bytes_max: usize) -> Result<(String, Self::Error), Refusal>;
    #[doc(hidden)]
    fn settle_failed(
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<(String, Result<Self::Error, StepFailed>), Refusal>;
    #[doc(hidden)]
    fn read(json: &str) -> Result<Self::Error, Undecodable>;
    #[doc(hidden)]
    fn fail(failed: StepFailed) -> Result<Self::Error, StepFailed>;
}

impl<V: Store> Codec for ValCodec<V> {
    type Returned = V::Value;

    fn settle(
        self,
        _step: &str,
        returned: V::Value,
        bytes_max: usize,
    ) -> Result<(Encoded, V::Value), Refusal> {
        let (json, returned) = V::settle(returned, bytes_max)?;
        Ok((Encoded { status: StepStatus::Completed, json }, returned))
    }

    fn settle_failed(
        self,
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<SettledFailure<V::Value>, Refusal> {
        let json = seal(&failed, bytes_max)?;
        Ok((Encoded { status: StepStatus::Failed, json }, Err(failed)))
    }

    fn decode(self, status: StepStatus, json: &str) -> Result<V::Value, Undecodable> {
        match (status, unseal(json)) {
            (StepStatus::Failed, Some(failed)) => Err(Undecodable::Failed(failed)),
            _ => V::read(json),
        }
    }

    fn is_failure(self, _returned: &V::Value) -> bool {
        false
    }

    fn fail(self, failed: StepFailed) -> Result<V::Value, StepFailed> {
        Err(failed)
    }
}

impl<V: Store, F: StoreError> Codec for ResCodec<V, F> {
    type Returned = Result<V::Value, F::Error>;

    fn settle(
        self,
        step: &str,
        returned: Self::Returned,
        bytes_max: usize,
    ) -> Result<(Encoded, Self::Returned), Refusal> {
        match returned {
            Ok(value) => {
                let (json, value) = V::settle(value, bytes_max)?;
                Ok((Encoded { status: StepStatus::Completed, json }, Ok(value)))
            }
            Err(error) => {
                let (json, error) = F::settle(step, error, bytes_max)?;
                Ok((Encoded { status: StepStatus::Failed, json }, Err(error)))
            }
        }
    }

    fn settle_failed(
        self,
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<SettledFailure<Self::Returned>, Refusal> {
        let (json, error) = F::settle_failed(failed, bytes_max)?;
        Ok((Encoded { status: StepStatus::Failed, json }, error.map(Err)))
    }

    fn decode(self, status: StepStatus, json: &str) -> Result<Self::Returned, Undecodable> {
        match status {
            StepStatus::Completed => V::read(json).map(Ok),
            StepStatus::Failed => F::read(json).map(Err),
        }
    }

    fn is_failure(self, returned: &Self::Returned) -> bool {
        returned.is_err()
    }

    fn fail(self, failed: StepFailed) -> Result<Self::Returned, StepFailed> {
        F::fail(failed).map(Err)
    }
}

impl<T: Serialize + DeserializeOwned> Store for Json<T> {
    type Value = T;

    fn settle(value: T, bytes_max: usize) -> Result<(String, T), Refusal> {
        round_trip(&value, bytes_max).map(|(json, value, _)| (json, value))
    }

    fn read(json: &str) -> Result<T, Undecodable> {
        read(json)
    }
}

impl<E: Serialize + DeserializeOwned> StoreError for Json<E> {
    type Error = E;

    fn settle(_step: &str, error: E, bytes_max: usize) -> Result<(String, E), Refusal> {
        <Self as Store>::settle(error, bytes_max)
    }

    fn settle_failed(
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<(String, Result<E, StepFailed>), Refusal> {
        Ok((seal(&failed, bytes_max)?, Err(failed)))
    }

    fn read(json: &str) -> Result<E, Undecodable> {
        unseal(json).map_or_else(|| read(json), |failed| Err(Undecodable::Failed(failed)))
    }

    fn fail(failed: StepFailed) -> Result<E, StepFailed> {
        Err(failed)
    }
}

impl<E: Serialize + DeserializeOwned + From<StepFailed>> StoreError for JsonOrFailed<E> {
    type Error = E;

    fn settle(_step: &str, error: E, bytes_max: usize) -> Result<(String, E), Refusal> {
        <Json<E> as Store>::settle(error, bytes_max)
    }

    fn settle_failed(
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<(String, Result<E, StepFailed>), Refusal> {
        let (json, error) = <Json<E> as Store>::settle(failed.into(), bytes_max)?;
        Ok((json, Ok(error)))
    }

    fn read(json: &str) -> Result<E, Undecodable> {
        read(json)
    }

    fn fail(failed: StepFailed) -> Result<E, StepFailed> {
        Ok(failed.into())
    }
}

impl<E: From<StepFailed> + Display> StoreError for Message<E> {
    type Error = E;

    fn settle(step: &str, error: E, bytes_max: usize) -> Result<(String, E), Refusal> {
        // The alternate form of `anyhow::Error` is the whole chain of causes.
        let failed = StepFailed::new(FailureKind::Error, step, format!("{error:#}"), 0);
        Ok((seal(&failed, bytes_max)?, failed.into()))
    }

    fn settle_failed(
        failed: StepFailed,
        bytes_max: usize,
    ) -> Result<(String, Result<E, StepFailed>), Refusal> {
        Ok((seal(&failed, bytes_max)?, Ok(failed.into())))
    }

    fn read(json: &str) -> Result<E, Undecodable> {
        unseal(json).map_or_else(|| read::<StepFailed>(json), Ok).map(E::from)
    }

    fn fail(failed: StepFailed) -> Result<E, StepFailed> {
        Ok(failed.into())
    }
}

/// What an unstorable type says if it ever ran; its check has refused to compile before.
fn refusal<T>() -> Refusal {
    Refusal::Refused { type_name: std::any::type_name::<T>(), reason: "it is not a serde type".to_owned() }
}

fn unreadable<T>() -> Undecodable {
    Undecodable::Json { type_name: std::any::type_name::<T>(), reason: "it is not a serde type".to_owned() }
}

impl<T> Store for Unstorable<T> {
    type Value = T;

    fn settle(_value: T, _bytes_max: usize) -> Result<(String, T), Refusal> {
        Err(refusal::<T>())
    }

    fn read(_json: &str) -> Result<T, Undecodable> {
        Err(unreadable::<T>())
    }
}

impl<E> StoreError for Unstorable<E> {
    type Error = E;

    fn settle(_step: &str, _error: E, _bytes_max: usize) -> Result<(String, E), Refusal> {
        Err(refusal::<E>())
    }

    fn settle_failed(
        _failed: StepFailed,
        _bytes_max: usize,
    ) -> Result<(String, Result<E, StepFailed>), Refusal> {
        Err(refusal::<E>())
    }

    fn read(_json: &str) -> Result<E, Undecodable> {
        Err(unreadable::<E>())
    }

    fn fail(failed: StepFailed) -> Result<E, StepFailed> {
        Err(failed)
    }
}

impl<T: Serialize + DeserializeOwned> InputCodec for Json<T> {
    type Input = T;

    fn encode(self, input: &T, bytes_max: usize) -> Result<(String, u64), Refusal> {
        encode_input(input, bytes_max)
    }

    fn decode(self, json: &str) -> Result<(T, u64), Undecodable> {
        decode_input(json)
    }
}

impl<T> InputCodec for Unstorable<T> {
    type Input = T;

    fn encode(self, _input: &T, _bytes_max: usize) -> Result<(String, u64), Refusal> {
        Err(refusal::<T>())
    }

    fn decode(self, _json: &str) -> Result<(T, u64), Undecodable> {
        Err(unreadable::<T>())
    }
}
