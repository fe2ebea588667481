//! Outcomes as the store keeps them: what a function returned, to JSON and back.
//! What a caller gets is always what was decoded, live as on replay, and [`settle`] refuses a value that
//! would not come back as it was: nothing is recorded that cannot be replayed. Nothing else in the crate
//! knows JSON. Knows no store and no run.

mod form;
mod refusal;

use std::any::type_name;

pub use form::{Form, Json, JsonOrFailed, Message, Missing};
use form::{StoredFailure, read, write};
pub(crate) use form::{check_json, describe};
pub use refusal::{Undecodable, Unstorable};

use crate::failed::StepFailed;
use crate::fingerprint::Seen;
use crate::store::StepStatus;

/// An outcome in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Whether `json` holds the value or the error.
    pub status: StepStatus,
    /// The value or the error. A [`StepFailed`] is wrapped: `{"durable::StepFailed":{…}}`.
    pub json: String,
}

/// Which step returned, and after how many attempts.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The step's key, as `charge_0`, or a workflow's name.
    pub step: &'a str,
    /// How often the body ran.
    pub attempts: u32,
}

/// How a return type is stored.
pub trait Codec: Copy {
    /// The return type.
    type Returned;

    /// The fingerprint of `returned`; see [`Form::inspect`].
    fn inspect(&self, returned: &Self::Returned) -> Result<Seen, Unstorable>;

    /// The stored form of `returned`. Checks nothing: see [`settle`].
    fn encode(&self, tried: Tried<'_>, returned: &Self::Returned) -> Result<Encoded, Unstorable>;

    /// What a stored outcome returns.
    fn decode(&self, status: StepStatus, json: &str) -> Result<Self::Returned, Undecodable>;

    /// Whether `returned` is an error.
    fn is_failure(&self, returned: &Self::Returned) -> bool;

    /// What the function returns for `failed`, or `failed` itself if its return type cannot hold it.
    #[expect(clippy::wrong_self_convention, reason = "the codec stands for the type that is made")]
    fn from_failed(&self, failed: StepFailed) -> Result<Self::Returned, StepFailed>;

    /// The type that an outcome of this status holds, as the compiler names it.
    fn type_name(&self, status: StepStatus) -> &'static str;
}

/// The codec of a type that is not a `Result`.
#[derive(Debug, Clone, Copy)]
pub struct ValueCodec<F>(pub(crate) F);

/// The codec of a `Result`.
#[derive(Debug, Clone, Copy)]
pub struct ResultCodec<F, G>(pub(crate) F, pub(crate) G);

impl<F: Form> Codec for ValueCodec<F> {
    type Returned = F::Value;

    fn inspect(&self, returned: &F::Value) -> Result<Seen, Unstorable> {
        self.0.inspect(returned)
    }

    fn encode(&self, tried: Tried<'_>, returned: &F::Value) -> Result<Encoded, Unstorable> {
        Ok(Encoded { status: StepStatus::Completed, json: self.0.encode(tried, returned)? })
    }

    fn decode(&self, status: StepStatus, json: &str) -> Result<F::Value, Undecodable> {
        match status {
            StepStatus::Completed => self.0.decode(json),
            StepStatus::Failed | StepStatus::Begun => {
                Err(Undecodable::Failed(read::<StoredFailure>(json)?.failed))
            }
        }
    }

    fn is_failure(&self, _returned: &F::Value) -> bool {
        false
    }

    fn from_failed(&self, failed: StepFailed) -> Result<F::Value, StepFailed> {
        Err(failed)
    }

    fn type_name(&self, status: StepStatus) -> &'static str {
        match status {
            StepStatus::Completed => type_name::<F::Value>(),
            StepStatus::Failed | StepStatus::Begun => type_name::<StepFailed>(),
        }
    }
}

impl<F: Form, G: Form> Codec for ResultCodec<F, G> {
    type Returned = Result<F::Value, G::Value>;

    fn inspect(&self, returned: &Self::Returned) -> Result<Seen, Unstorable> {
        match returned {
            Ok(value) => self.0.inspect(value),
            Err(error) => self.1.inspect(error),
        }
    }

    fn encode(&self, tried: Tried<'_>, returned: &Self::Returned) -> Result<Encoded, Unstorable> {
        Ok(match returned {
            Ok(value) => Encoded { status: StepStatus::Completed, json: self.0.encode(tried, value)? },
            Err(error) => Encoded { status: StepStatus::Failed, json: self.1.encode(tried, error)? },
        })
    }

    fn decode(&self, status: StepStatus, json: &str) -> Result<Self::Returned, Undecodable> {
        match status {
            StepStatus::Completed => self.0.decode(json).map(Ok),
            StepStatus::Failed | StepStatus::Begun if json.starts_with(StoredFailure::PREFIX) => {
                let failed = read::<StoredFailure>(json)?.failed;
                self.from_failed(failed).map_err(Undecodable::Failed)
            }
            StepStatus::Failed | StepStatus::Begun => self.1.decode(json).map(Err),
        }
    }

    fn is_failure(&self, returned: &Self::Returned) -> bool {
        returned.is_err()
    }

    fn from_failed(&self, failed: StepFailed) -> Result<Self::Returned, StepFailed> {
        self.1.rebuild(failed).map(Err)
    }

    fn type_name(&self, status: StepStatus) -> &'static str {
        match status {
            StepStatus::Completed => type_name::<F::Value>(),
            StepStatus::Failed | StepStatus::Begun => type_name::<G::Value>(),
        }
    }
}

/// An outcome that can be recorded, and what its caller gets.
#[derive(Debug)]
pub struct Settled<R> {
    /// To record.
    pub encoded: Encoded,
    /// What its caller gets.
    pub returned: R,
}

/// Returns the stored form of `returned`, and what a replay makes of it.
///
/// # Errors
/// If `returned` would not come back as it is, is nested too deep, or takes more than `bytes_max` bytes.
pub fn settle<C: Codec>(
    codec: &C,
    tried: Tried<'_>,
    returned: C::Returned,
    bytes_max: usize,
) -> Result<Settled<C::Returned>, Unstorable> {
    // Before the encoder recurses: this pass refuses what is nested too deep.
    let before = codec.inspect(&returned)?;
    let encoded = codec.encode(tried, &returned)?;
    drop(returned);
    let type_name = codec.type_name(encoded.status);
    check_size(type_name, &encoded.json, bytes_max)?;
    let decoded = codec
        .decode(encoded.status, &encoded.json)
        .map_err(|error| Unstorable::unreadable(type_name, before, error))?;
    check_same(type_name, before, codec.inspect(&decoded)?)?;
    Ok(Settled { encoded, returned: decoded })
}

/// Returns the stored form of a failure that the function did not return itself, and what the call returns
/// for it: the failure again if its type cannot hold it, so that the call panics with it.
///
/// # Errors
/// If the failure takes more than `bytes_max` bytes.
pub fn settle_failed<C: Codec>(
    codec: &C,
    failed: StepFailed,
    bytes_max: usize,
) -> Result<Settled<Result<C::Returned, StepFailed>>, Unstorable> {
    let encoded = encode_failed(failed.clone())?;
    check_size(type_name::<StepFailed>(), &encoded.json, bytes_max)?;
    Ok(Settled { encoded, returned: codec.from_failed(failed) })
}

/// Returns the stored form of a failure that the function did not return itself.
pub(crate) fn encode_failed(failed: StepFailed) -> Result<Encoded, Unstorable> {
    Ok(Encoded { status: StepStatus::Failed, json: write(&StoredFailure { failed })? })
}

/// Returns the JSON and the fingerprint of a workflow's arguments.
///
/// # Errors
/// As [`settle`].
pub fn encode_input<F: Form>(
    form: F,
    input: &F::Value,
    bytes_max: usize,
) -> Result<(String, u64), Unstorable> {
    let type_name = type_name::<F::Value>();
    let before = form.inspect(input)?;
    let json = form.encode(Tried { step: type_name, attempts: 0 }, input)?;
    check_size(type_name, &json, bytes_max)?;
    let decoded = form.decode(&json).map_err(|error| Unstorable::unreadable(type_name, before, error))?;
    check_same(type_name, before, form.inspect(&decoded)?)?;
    Ok((json, before.hash))
}

/// Returns the workflow's arguments that `json` holds, and their fingerprint.
///
/// # Errors
/// If `json` is not of this type.
pub fn decode_input<F: Form>(form: F, json: &str) -> Result<(F::Value, u64), Undecodable> {
    let input = form.decode(json)?;
    let seen = form.inspect(&input).map_err(|error| Undecodable::Json {
        type_name: type_name::<F::Value>(),
        reason: error.to_string(),
    })?;
    Ok((input, seen.hash))
}

fn check_size(type_name: &'static str, json: &str, bytes_max: usize) -> Result<(), Unstorable> {
    let bytes = json.len();
    if bytes > bytes_max { Err(Unstorable::TooLarge { type_name, bytes, bytes_max }) } else { Ok(()) }
}

fn check_same(type_name: &'static str, before: Seen, after: Seen) -> Result<(), Unstorable> {
    if before.hash == after.hash {
        return Ok(());
    }
    Err(Unstorable::lossy(type_name, before).unwrap_or(Unstorable::Changed { type_name }))
}

#[cfg(test)]
mod tests;
