//! How the return type of a function is stored, chosen from the types themselves and not from their spelling.
//!
//! A method call tries the receiver with the most references first, so of two traits that are implemented for
//! `&&Probe<T>` and `&Probe<T>` the first one whose bounds hold is taken. The macros emit, for a return type `R`:
//! ```text
//! use ::durable::__private::probe::*;
//! let split = (&&Probe::<R>::NEW).returned_tag(); // Res<T, E> for a Result, Val<T> otherwise
//! let ok = (&&split.ok()).ok_tag();             // Json<T>, or Unstorable<T>
//! let err = (&&&&split.err()).err_tag();        // JsonOrFailed<E>, Json<E>, Message<E>, or Unstorable<E>
//! ok.check_value();                             // with the span of `T`: the only place where a missing bound is an error
//! err.check_error();                            // with the span of `E`
//! split.codec(ok, err)                          // has no bounds of its own, so there is one error per misfit
//! ```
//! The tags have no values and no cost. The methods that traits give them have names that no trait of a user has: a second one of the
//! same name, implemented for every type, would make them ambiguous.

#![expect(clippy::unused_self, reason = "a tag has no value; its methods are asked of its type")]

use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::ArgsSink;
use crate::outcome::StepFailed;

/// The traits that are found by their methods. Only these may be in scope in an expansion.
pub mod traits {
    pub use super::{
        ArgJson as _, ArgSkipped as _, ErrJson as _, ErrJsonOrFailed as _, ErrMessage as _,
        ErrUnstorable as _, InputJson as _, InputUnstorable as _, OkJson as _, OkUnstorable as _,
        SplitResult as _, SplitValue as _,
    };
}

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
    note = "derive `serde::Serialize` and `serde::Deserialize` for `{Self}`"
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

/// Clones an argument by value for one attempt of a retried step.
pub fn clone_for_each_attempt<T: Clone>(arg: &T) -> T {
    arg.clone()
}

/// An argument of a step with `args = record`.
#[diagnostic::on_unimplemented(
    message = "the argument `{Self}` of a durable step with `args = record` cannot be recorded",
    label = "`{Self}` is not `serde::Serialize`",
    note = "derive `serde::Serialize` for `{Self}`, or take out `args = record`: without it arguments that cannot be serialized are skipped"
)]
pub trait RecordedArg {
    #[doc(hidden)]
    fn record(&self, sink: &mut ArgsSink);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> RecordedArg for T {
    fn record(&self, sink: &mut ArgsSink) {
        sink.record(self);
    }
}

/// Hashes an argument and keeps its JSON.
pub fn record_arg<T: RecordedArg + ?Sized>(sink: &mut ArgsSink, arg: &T) {
    arg.record(sink);
}

/// Declares types that only carry type parameters: they have one value, which copies whatever the parameters are.
macro_rules! tags {
    ($($(#[$doc:meta])* $Tag:ident<$($P:ident),+>;)+) => {$(
        $(#[$doc])*
        pub struct $Tag<$($P),+>(PhantomData<fn() -> ($($P,)+)>);

        impl<$($P),+> $Tag<$($P),+> {
            /// The one value.
            pub const NEW: Self = Self(PhantomData);
        }

        impl<$($P),+> Clone for $Tag<$($P),+> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($P),+> Copy for $Tag<$($P),+> {}
    )+};
}

tags! {
    /// Asks how a return type is stored.
    Probe<R>;
    /// Asks how an argument of a workflow is stored.
    InputProbe<T>;
    /// A return type that is no `Result`.
    Val<T>;
    /// A return type that is a `Result`.
    Res<T, E>;
    /// It is stored as its own JSON.
    Json<T>;
    /// It is stored as its own JSON, and can also be made from a [`StepFailed`].
    JsonOrFailed<E>;
    /// It is stored as its message, and rebuilt from a [`StepFailed`].
    Message<E>;
    /// It cannot be stored; the check that follows is a compile error.
    Unstorable<T>;
    /// The codec of a value.
    ValCodec<V>;
    /// The codec of a value or an error.
    ResCodec<V, F>;
}

/// The error of a return type that has none.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub enum NoError {}

/// Asks whether an argument can be hashed.
pub struct ArgProbe<'a, T: ?Sized>(pub &'a T);

/// Declares a trait that is found by its one method, and whom it is implemented for.
macro_rules! found_by_method {
    ($(#[$doc:meta])* $Trait:ident: $method:ident, $Tag:ty, [$($generics:tt)+], $for:ty) => {
        $(#[$doc])*
        pub trait $Trait {
            /// The tag that stands for the answer.
            type Tag;

            /// The answer.
            fn $method(&self) -> Self::Tag;
        }

        impl<$($generics)+> $Trait for $for {
            type Tag = $Tag;

            fn $method(&self) -> $Tag {
                <$Tag>::NEW
            }
        }
    };
}

found_by_method!(
    /// Finds a `Result`.
    SplitResult: returned_tag, Res<T, E>, [T, E], &Probe<Result<T, E>>
);
found_by_method!(
    /// Finds anything.
    SplitValue: returned_tag, Val<T>, [T], Probe<T>
);
found_by_method!(
    /// Finds a serde value.
    OkJson: ok_tag, Json<T>, [T: Serialize + DeserializeOwned], &Probe<T>
);
found_by_method!(
    /// Finds any value.
    OkUnstorable: ok_tag, Unstorable<T>, [T], Probe<T>
);
found_by_method!(
    /// Finds a serde error that can hold a failure.
    ErrJsonOrFailed: err_tag, JsonOrFailed<E>, [E: Serialize + DeserializeOwned + From<StepFailed>], &&&Probe<E>
);
found_by_method!(
    /// Finds a serde error.
    ErrJson: err_tag, Json<E>, [E: Serialize + DeserializeOwned], &&Probe<E>
);
found_by_method!(
    /// Finds an error that is rebuilt from its message.
    ErrMessage: err_tag, Message<E>, [E: From<StepFailed> + Display], &Probe<E>
);
found_by_method!(
    /// Finds any error.
    ErrUnstorable: err_tag, Unstorable<E>, [E], Probe<E>
);
found_by_method!(
    /// Finds a serde argument.
    InputJson: input_tag, Json<T>, [T: Serialize + DeserializeOwned], &InputProbe<T>
);
found_by_method!(
    /// Finds any argument.
    InputUnstorable: input_tag, Unstorable<T>, [T], InputProbe<T>
);

/// Finds an argument that can be hashed.
pub trait ArgJson {
    /// Hashes it.
    fn add_arg(&self, sink: &mut ArgsSink);
}

impl<T: Serialize + ?Sized> ArgJson for &ArgProbe<'_, T> {
    fn add_arg(&self, sink: &mut ArgsSink) {
        sink.add(self.0);
    }
}

/// Finds any argument.
pub trait ArgSkipped {
    /// Passes it over.
    fn add_arg(&self, sink: &mut ArgsSink);
}

impl<T: ?Sized> ArgSkipped for ArgProbe<'_, T> {
    fn add_arg(&self, sink: &mut ArgsSink) {
        sink.skip();
    }
}

impl<T> Val<T> {
    /// The value.
    pub fn ok(self) -> Probe<T> {
        Probe::NEW
    }

    /// The error: none.
    pub fn err(self) -> Probe<NoError> {
        Probe::NEW
    }

    /// The codec.
    pub fn codec<V, F>(self, _value: V, _error: F) -> ValCodec<V> {
        ValCodec::NEW
    }

    /// It is no `Result`.
    pub fn check_no_result(self) {}

    /// A compile error.
    pub fn check_can_fail(self)
    where
        T: CanFail,
    {
    }

    /// A compile error.
    pub fn check_timeout(self)
    where
        T: CanBeLate,
    {
    }

    /// `check_can_fail` has reported that there is nothing to retry.
    pub fn retry_if<P>(self, _predicate: P) -> impl Fn(&T) -> bool {
        |_| false
    }
}

impl<T, E> Res<T, E> {
    /// The value.
    pub fn ok(self) -> Probe<T> {
        Probe::NEW
    }

    /// The error.
    pub fn err(self) -> Probe<E> {
        Probe::NEW
    }

    /// The codec.
    pub fn codec<V, F>(self, _value: V, _error: F) -> ResCodec<V, F> {
        ResCodec::NEW
    }

    /// A compile error.
    pub fn check_no_result(self)
    where
        Result<T, E>: NoResult,
    {
    }

    /// It can fail.
    pub fn check_can_fail(self) {}

    /// The error says whether it can hold a timeout.
    pub fn check_timeout(self) {}

    /// Whether what was returned is an error that `predicate` accepts.
    pub fn retry_if(self, predicate: impl Fn(&E) -> bool) -> impl Fn(&Result<T, E>) -> bool {
        move |returned| returned.as_ref().err().is_some_and(&predicate)
    }
}

impl<T> Json<T> {
    /// It can be stored as a value.
    pub fn check_value(self) {}

    /// It can be stored as an error.
    pub fn check_error(self) {}

    /// It can be stored as an argument.
    pub fn check_argument(self) {}

    /// A compile error, unless it can say that a step took too long.
    pub fn check_timeout(self)
    where
        T: HoldsTimeout,
    {
    }
}

impl<E> JsonOrFailed<E> {
    /// It can be stored as an error.
    pub fn check_error(self) {}

    /// It can say that a step took too long.
    pub fn check_timeout(self) {}
}

impl<E> Message<E> {
    /// It can be stored as an error.
    pub fn check_error(self) {}

    /// It can say that a step took too long.
    pub fn check_timeout(self) {}
}

impl<T> Unstorable<T> {
    /// A compile error.
    pub fn check_value(self)
    where
        T: Value,
    {
    }

    /// A compile error.
    pub fn check_error(self)
    where
        T: StorableError,
    {
    }

    /// A compile error.
    pub fn check_argument(self)
    where
        T: Argument,
    {
    }

    /// The error has been reported by `check_error`.
    pub fn check_timeout(self) {}
}
