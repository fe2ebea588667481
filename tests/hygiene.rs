//! An expansion takes no name from the user's scope, and gives it none: this crate has no prelude, and every
//! name that an expansion could mean is taken by something else. What the functions return is checked too,
//! since a captured name could also just change a result.

#![no_implicit_prelude]
#![expect(
    dead_code,
    non_camel_case_types,
    non_snake_case,
    unused_imports,
    unused_macros,
    clippy::new_ret_no_self,
    clippy::trivially_copy_pass_by_ref,
    clippy::wrong_self_convention,
    reason = "the names only have to be there"
)]

use ::std::assert_eq;
use ::std::string::{String, ToString as _};

/// Everything that generated code could mean by a short name.
mod hostile {
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod alloc {}
    pub(crate) mod durable {
        pub(crate) mod __private {}
        pub(crate) fn step() {}
    }
    pub(crate) mod durable_core {}
    pub(crate) mod inventory {}
    pub(crate) mod tracing {}
    pub(crate) mod serde {}

    macro_rules! types {
        ($($Name:ident)+) => { $(pub(crate) struct $Name;)+ };
    }
    types! {
        Result Option Box String Vec Future Send AsRef Infallible Into From Clone Copy Sync Self_ Pin
        Probe Value Json Message Unstorable Args ArgsSink ArgProbe InputProbe Codec InputCodec Site StepSpec WorkflowSpec
        Workflow SyncWorkflow AsyncWorkflow ResultLike Registration RunBuilder AsyncRunBuilder RunFuture RunError Engine Error
    }

    macro_rules! functions {
        ($($name:ident)+) => { $(pub(crate) fn $name() -> u8 { 0 })+ };
    }
    functions! {
        Ok Err Some None step_async step_retried step_async_retried workflow_async args no_args probe register
        clone_for_each_attempt record_arg __call __ret __a __arg0 __durable_split __durable_value __durable_error
    }

    pub(crate) const SPEC: u8 = 0;
    pub(crate) static NEW: u8 = 0;
}

/// Macros of the user win over those of the prelude, and of no path.
mod functions {
    macro_rules! hostile_macros {
        ($($name:ident)+) => { $(macro_rules! $name { ($d:tt) => { compile_error!("captured") }; })+ };
    }
    hostile_macros!(file line panic matches register assert vec format submit);

    use super::hostile::*;

    #[::durable::step]
    pub(crate) fn plain(__a: u8, (__ret, __arg0): (u8, u8), __call: &u8) -> u8 {
        __a + __ret + __arg0 + *__call
    }

    #[::durable::step(retries = 2, args = record)]
    pub(crate) fn retried(
        __durable_split: u8,
        mut __durable_value: u8,
    ) -> ::core::result::Result<u8, ::std::string::String> {
        __durable_value += __durable_split;
        ::core::result::Result::Ok(__durable_value)
    }

    pub(crate) fn never(_: &::std::string::String) -> bool {
        false
    }

    #[::durable::step(retries = 2, retry_if = never)]
    pub(crate) async fn retried_later(
        spec: u8,
        codec: u8,
        body: u8,
    ) -> ::core::result::Result<u8, ::std::string::String>
    where
        ::std::string::String: ::core::fmt::Display,
    {
        let __durable_error = ::core::future::ready(spec + codec).await;
        ::core::result::Result::Ok(__durable_error + body)
    }

    #[::durable::step]
    pub(crate) async fn later(args: u8, (split, sink): (u8, u8)) -> ::core::option::Option<u8> {
        ::core::option::Option::Some(::core::future::ready(args + split + sink).await)
    }
}

/// Steps and workflows under the names of the attributes and of their parts.
mod named {
    use super::functions;
    use super::hostile::{Err, Ok};

    #[::durable::step]
    pub(crate) fn step(workflow: u8) -> u8 {
        workflow + Ok() + Err()
    }

    #[::durable::step]
    pub(crate) fn durable(step: u8) -> u8 {
        step + 1
    }

    #[::durable::workflow(name = "hygiene", allow(clock))]
    pub(crate) fn workflow(id: u8, workflow_id: u8, engine: u8, returned: u8, input: (u8, u8)) -> u8 {
        let __durable_arg0 = step(id) + durable(workflow_id);
        __durable_arg0 + functions::plain(engine, input, &returned)
    }
}

mod fulfilment {
    use super::{functions, hostile};

    /// A user's own step of a name that docs use for workflows.
    #[::durable::step]
    pub(crate) fn fulfil(codec: u8) -> u8 {
        codec + hostile::SPEC
    }

    /// A type of the name of the twin, so that the twin has another.
    pub(crate) struct run_durable {}

    #[::durable::workflow(entry = Entry)]
    pub(crate) async fn run_durable(
        resume: u8,
        durable: u8,
    ) -> ::core::result::Result<::core::option::Option<u8>, ::std::string::String> {
        let sum = functions::retried(resume, fulfil(durable))?;
        let sum = functions::retried_later(sum, 1, 2).await?;
        ::core::result::Result::Ok(functions::later(sum, (3, 4)).await)
    }
}

/// Methods of every type, under the names that an expansion could call or once called. Its probes are found
/// by their methods, so that a second one of the same name would make them ambiguous.
mod methods {
    macro_rules! everything {
        ($($name:ident)+) => {
            pub(crate) trait Everything {
                $(fn $name(&self) -> u8 { 0 })+
            }
        };
    }
    everything! {
        split add ok err codec settle run on new retry timeout strict resume durable call input record finish
        into_result poll tag probe
    }

    impl<T: ?::core::marker::Sized> Everything for T {}

    #[::durable::step(args = record)]
    pub(crate) fn first(n: &u8, (m, _): (u8, u8)) -> u8 {
        *n + m
    }

    fn always(_: &::durable::StepFailed) -> bool {
        true
    }

    #[::durable::step(retries = 1, timeout = "1s", retry_if = always)]
    pub(crate) async fn step(n: u8) -> ::core::result::Result<u8, ::durable::StepFailed> {
        ::core::result::Result::Ok(n)
    }

    #[::durable::workflow]
    pub(crate) async fn methods_of_everything(n: u8) -> ::core::result::Result<u8, ::durable::StepFailed> {
        step(first(&n, (1, 0)) - 1).await
    }
}

#[test]
fn steps_and_workflows_work_among_hostile_names() {
    let engine = ::durable::Engine::in_memory().unwrap();
    for _ in 0..2 {
        let sum = named::workflow::durable("sync", 1, 2, 10, 20, (30, 40)).on(&engine).run();
        assert_eq!(sum.unwrap(), 104);
        let run = fulfilment::Entry::durable("async", 1, 2).on(&engine).run();
        assert_eq!(::smol::block_on(run).unwrap(), ::core::option::Option::Some(13));
        let run = methods::methods_of_everything::durable("methods", 5).on(&engine).run();
        assert_eq!(::smol::block_on(run).unwrap(), 5);
    }
    let keys = |id: &str| -> ::std::vec::Vec<String> {
        ::std::iter::Iterator::collect(::std::iter::Iterator::map(
            ::std::iter::IntoIterator::into_iter(engine.steps(id).unwrap()),
            |step| step.key().to_string(),
        ))
    };
    assert_eq!(keys("sync"), ["step_0", "durable_1", "plain_2"]);
    assert_eq!(keys("async"), ["fulfil_0", "retried_1", "retried_later_2", "later_3"]);
}

#[test]
fn plain_calls_among_hostile_names_are_plain() {
    assert_eq!(functions::plain(1, (2, 3), &4), 10);
    assert_eq!(named::workflow(1, 2, 10, 20, (30, 40)), 104);
    assert_eq!(::smol::block_on(fulfilment::run_durable(1, 2)).unwrap(), ::core::option::Option::Some(13));
}
