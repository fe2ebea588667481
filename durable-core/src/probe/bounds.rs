//! The bounds of the checks: they exist for what rustc prints when they do not hold.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::NoError;
use crate::failed::StepFailed;

/// A value that a durable function can return: any serde type. It is stored as JSON and rebuilt on replay.
///
/// Name it in the bounds of a generic step: `fn pick<T: durable::Value>(from: Vec<T>) -> T`.
///
/// # Examples
/// ```
/// fn stored<T: durable_core::Value>(value: T) -> T {
///     value
/// }
/// assert_eq!(stored(1), 1);
/// ```
#[diagnostic::on_unimplemented(
    message = "the value `{Self}` returned by a durable function cannot be stored",
    label = "`{Self}` is not a serde type",
    note = "a stored value is given back to the workflow on replay, so it must be written and read",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`; if it is a type parameter, bound it with `durable::Value`"
)]
pub trait Value: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Value for T {}

/// An error that a durable function can return.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` returned by a durable function cannot be stored",
    label = "`{Self}` is neither a serde type nor `From<durable::StepFailed> + Display`",
    note = "a stored error is given back to the workflow on replay, so it must be rebuilt",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`, or implement `From<durable::StepFailed>` and `Display` for it, or return `anyhow::Error`"
)]
pub trait StorableError {}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> StorableError for E {}

/// An argument of a workflow.
#[diagnostic::on_unimplemented(
    message = "the workflow argument `{Self}` cannot be stored",
    label = "`{Self}` is not a serde type",
    note = "the arguments of a workflow are stored when it starts, and it is resumed with the stored ones",
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`, or take it in the steps with `durable::resource`"
)]
pub trait Argument {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Argument for T {}

/// An error that can say that a step took too long.
#[diagnostic::on_unimplemented(
    message = "`timeout` needs an error type that can be made from `durable::StepFailed`",
    label = "`{Self}` is not `From<durable::StepFailed>`",
    note = "a timeout is returned as the step's own error: implement `From<durable::StepFailed>` for `{Self}`"
)]
pub trait HoldsTimeout {}

#[diagnostic::do_not_recommend]
impl<E: From<StepFailed>> HoldsTimeout for E {}

// A return type without an error is reported once, by `CanBeLate`.
impl HoldsTimeout for NoError {}

/// A return type whose name does not hide a `Result`.
#[diagnostic::on_unimplemented(
    message = "the name of this alias of `Result` must end in `Result`",
    label = "an alias of a `Result`",
    note = "`run_durable` returns the workflow's own error as `RunError::Failed`, and only the name tells the macro that there is one"
)]
pub trait NoResult {}

/// A return type with a value and an error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`, but its name says so",
    label = "not a `Result`",
    note = "the entry points of a workflow tell its value from its error by the name: return a `Result`, or give the type a name that does not end in `Result`"
)]
pub trait ResultLike {
    /// The value.
    type Ok;
    /// The error.
    type Err;

    /// The value or the error.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> ResultLike for Result<T, E> {
    type Ok = T;
    type Err = E;

    fn into_result(self) -> Self {
        self
    }
}

/// A step that is retried.
#[diagnostic::on_unimplemented(
    message = "`retries` needs a step that can fail",
    label = "`{Self}` is not a `Result`",
    note = "return a `Result`, whose error is what is tried again, or take out `retries`"
)]
pub trait CanFail {}

/// A step that can take too long.
#[diagnostic::on_unimplemented(
    message = "`timeout` needs a step that can fail",
    label = "`{Self}` is not a `Result`",
    note = "return a `Result` whose error type is `From<durable::StepFailed>`, which an attempt that takes too long becomes"
)]
pub trait CanBeLate {}
