//! [`StepFailed`]: how a step failed, where the step's own error cannot be kept as itself.
//! It is what error types are rebuilt from, so it is public, plain and serde both ways. Knows no JSON.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// A step's failure as the store keeps it: the message of its error, or a panic, or a timeout.
///
/// An error type that is not serde itself holds a recorded failure if it can be made from this:
///
/// ```
/// # use durable_core as durable;
/// #[derive(Debug, thiserror::Error)]
/// enum OrderError {
///     #[error("the card was declined")]
///     Declined,
///     #[error(transparent)]
///     Step(#[from] durable::StepFailed),
/// }
/// ```
///
/// `anyhow::Error`, `Box<dyn Error + Send + Sync>` and `std::io::Error` can already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFailed {
    kind: FailureKind,
    step: String,
    message: String,
    attempts: u32,
}

/// In which way a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Its body returned an error.
    Error,
    /// Its body panicked.
    Panic,
    /// Its last attempt took longer than its `timeout`.
    Timeout,
    /// It is strict, and was called where no run is known.
    Unowned,
    /// It runs at most once and had begun, but how it ended was never recorded: the process died, or the run was
    /// stopped. Whether it took effect is not known.
    Interrupted,
}

impl StepFailed {
    /// The failure of `step` after so many attempts.
    pub fn new(
        kind: FailureKind,
        step: impl Into<String>,
        message: impl Into<String>,
        attempts: u32,
    ) -> Self {
        Self { kind, step: step.into(), message: message.into(), attempts }
    }

    /// In which way it failed.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether it is a step with `at_most_once` that began and whose end was never recorded, so that nobody knows
    /// whether it took effect. It does not run again by itself: ask the other side what became of it, or have it
    /// run again on purpose with [`Engine::rewind`](crate::Engine::rewind).
    ///
    /// # Examples
    /// ```
    /// use durable_core::{FailureKind, StepFailed};
    /// let failed = StepFailed::new(FailureKind::Interrupted, "charge_0", "its end was never recorded", 0);
    /// assert!(failed.is_interrupted());
    /// ```
    pub fn is_interrupted(&self) -> bool {
        self.kind == FailureKind::Interrupted
    }

    /// The step that failed, as `charge_0`.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What the error or the panic said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How often the step's body ran to an end; 0 where that is not known.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, step, message, .. } = self;
        match kind {
            // The message alone: it is the user's error, and reads live as it reads on replay.
            FailureKind::Error | FailureKind::Unowned => f.write_str(message),
            FailureKind::Panic => write!(f, "step `{step}` panicked: {message}"),
            FailureKind::Timeout => write!(f, "step `{step}` timed out: {message}"),
            FailureKind::Interrupted => write!(f, "step `{step}` was interrupted: {message}"),
        }
    }
}

impl std::error::Error for StepFailed {}

impl From<StepFailed> for io::Error {
    fn from(failed: StepFailed) -> Self {
        Self::other(failed)
    }
}
