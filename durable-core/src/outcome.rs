//! How values become rows and come back: the only place that touches `serde_json`.
//! The one rule: a value is decoded again, and compared with what it was, before anyone records it; the caller gets the decoded one,
//! live as on replay. What would come back changed is refused while nothing is stored.
//! Knows no store and no step.

use std::any::type_name;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{LEVELS_MAX, Refused, fingerprint};
use crate::store::StepStatus;

/// A step that failed, as its record tells it: what an error type that is not itself stored is rebuilt from.
///
/// A step whose error is `From<StepFailed>` (`anyhow::Error`, `Box<dyn Error + Send + Sync>`, an enum with
/// `#[from] StepFailed`) gets one for its own errors, for panics and for timeouts. It shows as the message.
///
/// # Examples
/// ```
/// use durable_core::StepFailed;
/// #[derive(Debug)]
/// enum OrderError {
///     Step(StepFailed),
/// }
/// impl From<StepFailed> for OrderError {
///     fn from(failed: StepFailed) -> Self {
///         Self::Step(failed)
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    kind: FailureKind,
    step: String,
    message: String,
    attempts: u32,
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FailureKind {
    /// Its body returned an error.
    Error,
    /// Its body panicked.
    Panic,
    /// An attempt took longer than its `timeout`.
    Timeout,
    /// It is strict, and was called where no run is known.
    Unowned,
}

impl StepFailed {
    pub(crate) fn new(kind: FailureKind, step: &str, message: String, attempts: u32) -> Self {
        Self { kind, step: step.to_owned(), message, attempts }
    }

    /// Why it failed.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The key of the step, `charge_0`; for an error of a workflow, its name.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The text of the error or the panic.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How often the body ran; 0 where that is not known.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FailureKind::Error | FailureKind::Unowned => f.write_str(&self.message),
            FailureKind::Panic => write!(f, "step `{}` panicked: {}", self.step, self.message),
            FailureKind::Timeout => write!(f, "step `{}` timed out: {}", self.step, self.message),
        }
    }
}

impl std::error::Error for StepFailed {}

impl From<StepFailed> for std::io::Error {
    fn from(failed: StepFailed) -> Self {
        Self::other(failed)
    }
}

/// A [`StepFailed`] as a FAILED row holds it, where it stands for an error that is not stored itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<F> {
    #[serde(rename = "durable::StepFailed")]
    failed: F,
}

/// An outcome as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub(crate) status: StepStatus,
    pub(crate) json: String,
}

/// A failure as it is stored, and as the function returns it if its type has room for it.
pub(crate) type SettledFailure<R> = (Encoded, Result<R, StepFailed>);

/// Why a value cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unstorable {
    /// It would come back from JSON as another value, or not at all.
    #[error(
        "the `{type_name}` would not come back as it is: {reason}; JSON has no NaN, no infinities, no `Some(None)` and no \
         map keys but texts and numbers, so return a type without them"
    )]
    Changed {
        /// The type of the value.
        type_name: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// It is nested too deep.
    #[error("the `{type_name}` is nested deeper than {LEVELS_MAX} levels; flatten it, or return its text")]
    TooDeep {
        /// The type of the value.
        type_name: &'static str,
    },
    /// It is too large.
    #[error(
        "the `{type_name}` takes {bytes} bytes of JSON, and at most {bytes_max} are stored; store it elsewhere and return where"
    )]
    TooLarge {
        /// The type of the value.
        type_name: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit, as `Engine::builder().payload_bytes_max(…)` sets it.
        bytes_max: usize,
    },
    /// Its own `Serialize` refused.
    #[error("the `{type_name}` does not serialize: {reason}")]
    Refused {
        /// The type of the value.
        type_name: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Why a stored value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is no JSON of this type.
    #[error("it is no `{type_name}`: {reason}")]
    Json {
        /// The type that was asked for.
        type_name: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// It is a failure that the type has no room for.
    #[error("{0}")]
    Failed(StepFailed),
}

/// Encodes `value`, decodes that again and compares; what was decoded, and its fingerprint.
pub(crate) fn round_trip<T: Serialize + DeserializeOwned>(
    value: &T,
    bytes_max: usize,
) -> Result<(String, T, u64), Unstorable> {
    let type_name = type_name::<T>();
    let before = print(value)?;
    let json = serde_json::to_string(value)
        .map_err(|error| Unstorable::Changed { type_name, reason: error.to_string() })?;
    if json.len() > bytes_max {
        return Err(Unstorable::TooLarge { type_name, bytes: json.len(), bytes_max });
    }
    let decoded: T = serde_json::from_str(&json)
        .map_err(|error| Unstorable::Changed { type_name, reason: error.to_string() })?;
    if print(&decoded)? != before {
        let reason = format!("its JSON, {}, reads as another value", start_of(&json));
        return Err(Unstorable::Changed { type_name, reason });
    }
    Ok((json, decoded, before))
}

fn print<T: Serialize>(value: &T) -> Result<u64, Unstorable> {
    let type_name = type_name::<T>();
    fingerprint(value).map_err(|refused| match refused {
        Refused::TooDeep => Unstorable::TooDeep { type_name },
        Refused::Custom(reason) => Unstorable::Refused { type_name, reason },
    })
}

fn start_of(json: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    let shown: String = json.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < json.len() { format!("{shown}…") } else { shown }
}

/// Reads `json` as a `T`.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, Undecodable> {
    serde_json::from_str(json)
        .map_err(|error| Undecodable::Json { type_name: type_name::<T>(), reason: error.to_string() })
}

/// The JSON of a failure that stands for an error.
pub(crate) fn seal(failed: &StepFailed, bytes_max: usize) -> Result<String, Unstorable> {
    round_trip(&Envelope { failed: failed.clone() }, bytes_max).map(|(json, _, _)| json)
}

/// The failure in a FAILED row, if it holds one.
pub(crate) fn unseal(json: &str) -> Option<StepFailed> {
    serde_json::from_str(json).ok().map(|Envelope { failed }| failed)
}

/// Encodes the arguments of a run as they are stored, and tells their fingerprint.
pub(crate) fn encode_input<T: Serialize + DeserializeOwned>(
    input: &T,
    bytes_max: usize,
) -> Result<(String, u64), Unstorable> {
    round_trip(input, bytes_max).map(|(json, _, fingerprint)| (json, fingerprint))
}

/// Reads stored arguments, and tells their fingerprint as the running code has them.
pub(crate) fn decode_input<T: Serialize + DeserializeOwned>(json: &str) -> Result<(T, u64), Undecodable> {
    let input: T = read(json)?;
    let unreadable =
        |refused: Refused| Undecodable::Json { type_name: type_name::<T>(), reason: refused.to_string() };
    let print = fingerprint(&input).map_err(unreadable)?;
    Ok((input, print))
}

/// The JSON of `value`, for a record of arguments that nobody reads back; `None` if it has none.
pub(crate) fn text_of<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}
