//! Why a value is not stored, or not read: in the user's words, naming the type and what to write instead.

use crate::failed::StepFailed;
use crate::fingerprint::{FingerprintError, Lossy, Seen};

/// Why a value cannot be stored: it would not come back as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unstorable {
    /// It holds a float that JSON has no number for.
    #[error(
        "a value of type `{type_name}` cannot be stored: it holds NaN or an infinity, which JSON has no number for; return an `Option` or an enum that says what it means"
    )]
    NotFinite {
        /// The type.
        type_name: &'static str,
    },
    /// It holds a `Some` that reads back as `None`.
    #[error(
        "a value of type `{type_name}` cannot be stored: it holds `Some(None)` or `Some(())`, which JSON reads back as `None`; return an enum with a variant for each case"
    )]
    SomeOfNull {
        /// The type.
        type_name: &'static str,
    },
    /// It holds a map whose keys are no text.
    #[error(
        "a value of type `{type_name}` cannot be stored: it holds a map with a key that JSON cannot write as text ({reason}); use a string, a number or a unit variant as key, or return a `Vec` of pairs"
    )]
    MapKey {
        /// The type.
        type_name: &'static str,
        /// What `serde_json` said.
        reason: String,
    },
    /// It is nested in too many levels.
    #[error(
        "a value of type `{type_name}` cannot be stored: it is nested in more than 128 levels; return a flat form, such as a `Vec` of nodes that name their parent"
    )]
    TooDeep {
        /// The type.
        type_name: &'static str,
    },
    /// It takes too many bytes.
    #[error(
        "a value of type `{type_name}` cannot be stored: it takes {bytes} bytes as JSON, and the limit is {bytes_max}; store it elsewhere and return where it is"
    )]
    TooLarge {
        /// The type.
        type_name: &'static str,
        /// Its size as JSON.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Its `Serialize` failed.
    #[error("a value of type `{type_name}` cannot be stored: its `Serialize` failed: {reason}")]
    Serialize {
        /// The type.
        type_name: &'static str,
        /// What it said.
        reason: String,
    },
    /// Its `Deserialize` refuses what its `Serialize` wrote.
    #[error(
        "a value of type `{type_name}` cannot be stored: its `Deserialize` refuses what its `Serialize` wrote: {reason}; make them mirror each other"
    )]
    Unreadable {
        /// The type.
        type_name: &'static str,
        /// What it said.
        reason: String,
    },
    /// Its `Deserialize` makes another value of what its `Serialize` wrote.
    #[error(
        "a value of type `{type_name}` cannot be stored: it reads back as another value; make its `Serialize` and `Deserialize` mirror each other (`skip_serializing_if` needs a fitting `default`, an untagged enum needs variants that look different)"
    )]
    Changed {
        /// The type.
        type_name: &'static str,
    },
    /// Its type has no stored form at all; such a function does not compile.
    #[error("a value of type `{type_name}` cannot be stored: the type is not serde")]
    Missing {
        /// The type.
        type_name: &'static str,
    },
}

impl Unstorable {
    pub(super) fn refused(type_name: &'static str, error: FingerprintError) -> Self {
        match error {
            FingerprintError::TooDeep => Self::TooDeep { type_name },
            FingerprintError::Serialize(reason) => Self::Serialize { type_name, reason },
        }
    }

    pub(super) fn lossy(type_name: &'static str, seen: Seen) -> Option<Self> {
        seen.lossy.map(|lossy| match lossy {
            Lossy::NotFinite => Self::NotFinite { type_name },
            Lossy::SomeOfNull => Self::SomeOfNull { type_name },
        })
    }

    pub(super) fn unreadable(type_name: &'static str, before: Seen, error: Undecodable) -> Self {
        let reason = match error {
            Undecodable::Json { reason, .. } => reason,
            Undecodable::Failed(failed) => failed.to_string(),
        };
        Self::lossy(type_name, before).unwrap_or(Self::Unreadable { type_name, reason })
    }
}

/// Why a stored outcome does not give a value back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// It is not JSON of this type.
    #[error(
        "what is stored cannot be read as `{type_name}`: {reason}; if the type has changed, give new fields `#[serde(default)]` and keep the names of old ones as `alias`"
    )]
    Json {
        /// The type.
        type_name: &'static str,
        /// What `serde_json` said.
        reason: String,
    },
    /// It is a failure that the return type cannot hold: the call panics with it, as the first one did.
    #[error(transparent)]
    Failed(StepFailed),
}
