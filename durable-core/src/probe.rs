//! How the return type of a function is stored, chosen from the types themselves and not from their spelling.
//!
//! A method call tries the receiver with the most references first, so of two traits that are implemented for
//! `&&Probe<T>` and `&Probe<T>` the first one whose bounds hold is taken. The macros emit, for a return type
//! `R`:
//! ```text
//! use ::durable::__private::probe::*;
//! let split = (&&Probe::<R>::NEW).durable_split();      // Res<T, E> for a Result, Val<T> otherwise
//! let ok = (&&split.ok()).durable_ok();             // Json<T>, or Missing<T>
//! let err = (&&&&split.err()).durable_err();        // JsonOrFailed<E>, Json<E>, Message<E>, or Missing<E>
//! ok.check_value();                             // with the span of `T`: the only place where a missing bound is an error
//! err.check_error();                            // with the span of `E`
//! split.codec(ok, err)                          // has no bounds of its own, so there is one error per misfit
//! ```
//! The tags have no values and no cost.

#![expect(clippy::unused_self, reason = "a tag has no value; its methods are asked of its type")]

mod bounds;

use std::fmt::Display;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::ArgsSink;
use crate::failed::StepFailed;
use crate::outcome::{Form, Json, JsonOrFailed, Message, Missing, ResultCodec, ValueCodec};

use bounds::{Argument, CanBeLate, CanFail, HoldsTimeout, NoResult, StorableError};
pub use bounds::{ResultLike, Value};

/// The traits that are found by their methods. Only these may be in scope in an expansion.
pub mod traits {
    pub use super::{
        ArgJson as _, ArgSkipped as _, ErrJson as _, ErrJsonOrFailed as _, ErrMessage as _,
        ErrUnstorable as _, InputJson as _, InputUnstorable as _, OkJson as _, OkUnstorable as _,
        SplitResult as _, SplitValue as _,
    };
}

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

/// Declares types that only carry type parameters: they have one value, which copies whatever the parameters
/// are.
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
    SplitResult: durable_split, Res<T, E>, [T, E], &Probe<Result<T, E>>
);
found_by_method!(
    /// Finds anything.
    SplitValue: durable_split, Val<T>, [T], Probe<T>
);
found_by_method!(
    /// Finds a serde value.
    OkJson: durable_ok, Json<T>, [T: Serialize + DeserializeOwned], &Probe<T>
);
found_by_method!(
    /// Finds any value.
    OkUnstorable: durable_ok, Missing<T>, [T], Probe<T>
);
found_by_method!(
    /// Finds a serde error that can hold a failure.
    ErrJsonOrFailed: durable_err, JsonOrFailed<E>, [E: Serialize + DeserializeOwned + From<StepFailed>], &&&Probe<E>
);
found_by_method!(
    /// Finds a serde error.
    ErrJson: durable_err, Json<E>, [E: Serialize + DeserializeOwned], &&Probe<E>
);
found_by_method!(
    /// Finds an error that is rebuilt from its message.
    ErrMessage: durable_err, Message<E>, [E: From<StepFailed> + Display], &Probe<E>
);
found_by_method!(
    /// Finds any error.
    ErrUnstorable: durable_err, Missing<E>, [E], Probe<E>
);
found_by_method!(
    /// Finds a serde argument.
    InputJson: durable_input, Json<T>, [T: Serialize + DeserializeOwned], &InputProbe<T>
);
found_by_method!(
    /// Finds any argument.
    InputUnstorable: durable_input, Missing<T>, [T], InputProbe<T>
);

/// Finds an argument that can be hashed.
pub trait ArgJson {
    /// Hashes it.
    fn durable_arg(&self, sink: &mut ArgsSink);
}

impl<T: Serialize + ?Sized> ArgJson for &ArgProbe<'_, T> {
    fn durable_arg(&self, sink: &mut ArgsSink) {
        sink.add(self.0);
    }
}

/// Finds any argument.
pub trait ArgSkipped {
    /// Passes it over.
    fn durable_arg(&self, sink: &mut ArgsSink);
}

impl<T: ?Sized> ArgSkipped for ArgProbe<'_, T> {
    fn durable_arg(&self, sink: &mut ArgsSink) {
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
    pub fn codec<V: Form<Value = T>, F>(self, value: V, _error: F) -> ValueCodec<V> {
        ValueCodec(value)
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
    pub fn codec<V: Form<Value = T>, F: Form<Value = E>>(self, value: V, error: F) -> ResultCodec<V, F> {
        ResultCodec(value, error)
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

impl<T> Missing<T> {
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
