//! How a call of an entry point ended, if not with a value.

use std::fmt;

use super::Error;

/// How a call of an entry point ended, if not with the workflow's value.
///
/// # Examples
/// ```
/// use durable_core::RunError;
/// let declined: RunError<String> = RunError::Failed("card declined".into());
/// assert_eq!(declined.to_string(), "card declined");
/// assert_eq!(declined.failed(), Some("card declined".to_owned()));
/// ```
#[derive(Clone)]
pub enum RunError<E> {
    /// The workflow returned its own error; it is recorded.
    Failed(E),
    /// The engine ended the run, or refused the call.
    Engine(Error),
}

impl<E> RunError<E> {
    /// The workflow's own error, if it was that.
    pub fn failed(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Engine(_) => None,
        }
    }
}

impl<E> From<Error> for RunError<E> {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl<E: fmt::Debug> fmt::Debug for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(_) => None,
            Self::Engine(error) => std::error::Error::source(error),
        }
    }
}
