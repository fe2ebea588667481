//! The expansion of a workflow: the function, the type that carries its entry points, and its registration.
//! The function comes first, so that a mistake in a signature is reported there and not on a generated copy.
//! Nothing here can fail.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};

use super::{
    Check, emit_args, emit_awaited, emit_closure, emit_codec, emit_function, emit_future, emit_site, local,
    public_name,
};
use crate::args::ArgsMode;
use crate::model::{Callable, Workflow};
use crate::paths;
use crate::returned::Shape;

/// Expands to:
/// ```text
/// pub fn fulfil(order: Order) -> Result<Tracking, OrderError> { <a call of `__private::workflow`> }
/// pub enum fulfil {}
/// impl fulfil { <entry points> }
/// const _: () = { <implementations and registration> };
/// ```
pub(crate) fn workflow(workflow: &Workflow) -> TokenStream {
    let function = emit_function(&workflow.callable, emit_call(workflow));
    let twin = emit_twin(workflow);
    let entries = emit_entries(workflow);
    let implementation = emit_implementation(workflow);
    quote_spanned!(Span::mixed_site()=> #function #twin #entries #implementation)
}

/// Expands to:
/// ```text
/// ::durable::__private::workflow(
///     <fulfil as ::durable::__private::Workflow>::SPEC,
///     <fulfil as ::durable::__private::Workflow>::codec(),
///     <args>,
///     <closure>,
/// )
/// ```
/// or the same with `workflow_async`, a future and `.await`.
fn emit_call(workflow: &Workflow) -> TokenStream {
    let Workflow { callable, twin, .. } = workflow;
    let of = callable.paths.private("Workflow");
    let args = emit_args(callable, ArgsMode::Fingerprint);
    if callable.sig.asyncness.is_some() {
        let (function, future) = (callable.paths.private("workflow_async"), emit_future(callable));
        let call = quote_spanned! {Span::mixed_site()=>
            #function(<#twin as #of>::SPEC, <#twin as #of>::codec(), #args, #future)
        };
        emit_awaited(callable, &call)
    } else {
        let (function, closure) = (callable.paths.private("workflow"), emit_closure(callable));
        quote_spanned! {Span::mixed_site()=>
            #function(<#twin as #of>::SPEC, <#twin as #of>::codec(), #args, #closure)
        }
    }
}

/// Expands to:
/// ```text
/// /// Entry points of the durable workflow `fulfil`.
/// #[allow(non_camel_case_types, …)]
/// pub enum fulfil {}
/// ```
fn emit_twin(workflow: &Workflow) -> TokenStream {
    let Workflow { callable, twin, .. } = workflow;
    let (attrs, vis) = (shared_attrs(callable), &callable.vis);
    let doc = format!(
        "Entry points of the durable workflow `{}`: [`run_durable`](Self::run_durable), \
         [`resume`](Self::resume), [`start`](Self::start) and [`durable`](Self::durable).",
        callable.name
    );
    // A name that is taken already is reported there and not at the attribute.
    let at = Span::mixed_site().located_at(twin.span());
    quote_spanned! {at=>
        #(#attrs)*
        #[doc = #doc]
        #[allow(non_camel_case_types, clippy::empty_enums, clippy::exhaustive_enums)]
        #vis enum #twin {}
    }
}

/// The attributes of the function that its generated companions need too: where it exists, whether docs show
/// it.
fn shared_attrs(callable: &Callable) -> Vec<&syn::Attribute> {
    let is_hidden = |attr: &syn::Attribute| {
        attr.path().is_ident("doc") && attr.parse_args::<Ident>().is_ok_and(|word| word == "hidden")
    };
    callable.attrs.iter().filter(|attr| attr.path().is_ident("cfg") || is_hidden(attr)).collect()
}

/// Expands to:
/// ```text
/// #[allow(dead_code, …)]
/// impl fulfil {
///     /// Runs …
///     pub fn run_durable(id: impl AsRef<str>, order: Order) -> Result<Tracking, RunError<OrderError>> {
///         Self::durable(id, order).run()
///     }
///     /// Goes on with …
///     pub fn resume(id: impl AsRef<str>) -> Result<Tracking, RunError<OrderError>> {
///         ::durable::RunBuilder::<Self>::resume(id).run()
///     }
///     /// Starts …
///     pub fn start(id: impl AsRef<str>, order: Order) -> Result<Handle<Self>, Error> {
///         Self::durable(id, order).start()
///     }
///     /// Prepares …
///     pub fn durable(id: impl AsRef<str>, order: Order) -> ::durable::RunBuilder<Self> {
///         ::durable::RunBuilder::new(id, (order,))
///     }
/// }
/// ```
/// An `async fn` has `AsyncRunBuilder`, `RunFuture<Self>` and `StartFuture<Self>` in these places.
fn emit_entries(workflow: &Workflow) -> TokenStream {
    let Workflow { callable, twin, .. } = workflow;
    let (attrs, vis) = (shared_attrs(callable), &callable.vis);
    let at = at_value(callable);
    let (id, as_ref, Input { names, types }) = (id_name(callable), paths::as_ref(at), Input::of(callable));
    let (builder, outcome, started) = (builder(callable), outcome(callable), started(callable));
    let [run_doc, resume_doc, start_doc, durable_doc] = entry_docs(callable);
    quote_spanned! {at=>
        #(#attrs)*
        #[allow(dead_code, clippy::impl_trait_in_params, clippy::too_many_arguments)]
        impl #twin {
            #[doc = #run_doc]
            #vis fn run_durable(#id: impl #as_ref<str>, #(#names: #types),*) -> #outcome {
                #builder::<Self>::run(Self::durable(#id, #(#names),*))
            }
            #[doc = #resume_doc]
            #vis fn resume(#id: impl #as_ref<str>) -> #outcome {
                #builder::<Self>::run(#builder::<Self>::resume(#id))
            }
            #[doc = #start_doc]
            #vis fn start(#id: impl #as_ref<str>, #(#names: #types),*) -> #started {
                #builder::<Self>::start(Self::durable(#id, #(#names),*))
            }
            #[doc = #durable_doc]
            #vis fn durable(#id: impl #as_ref<str>, #(#names: #types),*) -> #builder<Self> {
                #builder::new(#id, (#(#names,)*))
            }
        }
    }
}

fn entry_docs(callable: &Callable) -> [String; 4] {
    let name = &callable.name;
    let future =
        if callable.sig.asyncness.is_some() { " Nothing happens before the first poll." } else { "" };
    [
        format!(
            "Runs the workflow `{name}` under this id to its end, or goes on where an earlier call was interrupted; \
             a completed one returns its stored result and runs nothing.{future}\n\n\
             The input is stored with the first call: another input under the same id is an error."
        ),
        format!(
            "Goes on with the run of the workflow `{name}` that has this id, with its stored input.{future}"
        ),
        format!(
            "Starts a run of the workflow `{name}` under this id in the background of the engine: it goes on by itself, \
             and its handle waits for what it returns.{future}"
        ),
        format!(
            "Prepares a run of the workflow `{name}` under this id: choose the engine with `.on(&engine)`, \
             then call `.run()` or `.start()`."
        ),
    ]
}

/// The arguments of a workflow as its entry points and its stored input name them.
struct Input<'a> {
    names: Vec<Ident>,
    types: Vec<&'a syn::Type>,
}

impl<'a> Input<'a> {
    fn of(callable: &'a Callable) -> Self {
        let names = callable.args.iter().enumerate().map(|(index, arg)| public_name(index, arg)).collect();
        Self { names, types: callable.args.iter().map(|arg| &arg.ty).collect() }
    }
}

/// `id`, or `workflow_id` where the workflow has an argument of that name.
fn id_name(callable: &Callable) -> Ident {
    let is_taken = callable.args.iter().any(|arg| arg.outer == "id");
    local(if is_taken { "workflow_id" } else { "id" })
}

fn builder(callable: &Callable) -> TokenStream {
    let at = at_value(callable);
    callable.paths.public(if callable.sig.asyncness.is_some() { "AsyncRunBuilder" } else { "RunBuilder" }, at)
}

/// What `run_durable` returns.
fn outcome(callable: &Callable) -> TokenStream {
    let at = at_value(callable);
    if callable.sig.asyncness.is_some() {
        let future = callable.paths.public("RunFuture", at);
        return quote_spanned!(at=> #future<Self>);
    }
    let (result, run_error) = (paths::result(at), callable.paths.public("RunError", at));
    let (value, error) = value_and_error(callable);
    quote_spanned!(at=> #result<#value, #run_error<#error>>)
}

/// What `start` returns.
fn started(callable: &Callable) -> TokenStream {
    let at = at_value(callable);
    if callable.sig.asyncness.is_some() {
        let future = callable.paths.public("StartFuture", at);
        return quote_spanned!(at=> #future<Self>);
    }
    let (result, handle, error) =
        (paths::result(at), callable.paths.public("Handle", at), callable.paths.public("Error", at));
    quote_spanned!(at=> #result<#handle<Self>, #error>)
}

/// Where the compiler shows what it has to say about the return type: at its value, as it is spelled.
fn at_value(callable: &Callable) -> Span {
    Span::mixed_site().located_at(callable.returned.value_span)
}

/// Value and error of the return type, in the user's tokens where they are spelled.
fn value_and_error(callable: &Callable) -> (TokenStream, TokenStream) {
    let (ty, at) = (&callable.returned.ty, at_value(callable));
    match &callable.returned.shape {
        Shape::Spelled { value, error } => (value.to_token_stream(), error.to_token_stream()),
        Shape::Alias => {
            let of = callable.paths.private_at("ResultLike", at);
            (quote_spanned!(at=> <#ty as #of>::Ok), quote_spanned!(at=> <#ty as #of>::Err))
        }
        Shape::Plain => (ty.clone(), paths::infallible(at)),
    }
}

/// Expands to:
/// ```text
/// #[allow(deprecated)]
/// const _: () = { <impl Workflow> <impl SyncWorkflow> ::durable::__private::register! { fulfil } };
/// ```
fn emit_implementation(workflow: &Workflow) -> TokenStream {
    let attrs = shared_attrs(&workflow.callable).into_iter().filter(|attr| attr.path().is_ident("cfg"));
    let (described, called) = (emit_workflow_impl(workflow), emit_call_impl(workflow));
    let (register, twin) = (workflow.callable.paths.private("register"), &workflow.twin);
    quote_spanned! {Span::mixed_site()=>
        #(#attrs)*
        #[allow(deprecated)]
        const _: () = {
            #described
            #called
            #register! { #twin }
        };
    }
}

/// Expands to:
/// ```text
/// #[doc(hidden)]
/// impl ::durable::__private::Workflow for fulfil {
///     const SPEC: &'static WorkflowSpec = &WorkflowSpec::new("fulfil", <site>, 0x1234);
///     const EXECUTION: Execution = ::durable::__private::called::<Self>();
///     type Input = (Order,);
///     type Returned = Result<Tracking, OrderError>;
///     type Value = Tracking;
///     type Error = OrderError;
///     fn codec() -> impl Codec<Returned = Self::Returned> { <codec> }
///     fn into_result(returned: Self::Returned) -> Result<Self::Value, Self::Error> { <see below> }
///     <the stored form of the input>
/// }
/// ```
/// An `async fn` has `polled` in the place of `called`; with `version = 2`, `.version(2)` stands behind the spec.
fn emit_workflow_impl(workflow: &Workflow) -> TokenStream {
    let Workflow { callable, twin, fingerprint, version } = workflow;
    let paths = &callable.paths;
    let (of, spec, codec_of) =
        (paths.private("Workflow"), paths.private("WorkflowSpec"), paths.private("Codec"));
    let (name, site, codec) = (&callable.name, emit_site(callable), emit_checked_codec(callable));
    let version = version.map(|version| quote_spanned!(Span::mixed_site()=> .version(#version)));
    let is_async = callable.sig.asyncness.is_some();
    let (execution, executed) =
        (paths.private("Execution"), paths.private(if is_async { "polled" } else { "called" }));
    let types = Input::of(callable).types;
    let (returned, (value, error)) = (&callable.returned.ty, value_and_error(callable));
    let (into_result, input) = (emit_into_result(callable), emit_input(callable));
    let at = at_value(callable);
    let parts = quote_spanned!(at=> type Value = #value; type Error = #error;);
    quote_spanned! {Span::mixed_site()=>
        #[doc(hidden)]
        impl #of for #twin {
            const SPEC: &'static #spec = &#spec::new(#name, #site, #fingerprint)#version;
            const EXECUTION: #execution = #executed::<Self>();
            type Input = (#(#types,)*);
            type Returned = #returned;
            #parts
            fn codec() -> impl #codec_of<Returned = Self::Returned> #codec
            #into_result
            #input
        }
    }
}

/// The codec of the return type; a type that is not spelled as a `Result` must not be one under another name.
fn emit_checked_codec(callable: &Callable) -> TokenStream {
    let is_plain = callable.returned.is_written && matches!(callable.returned.shape, Shape::Plain);
    emit_codec(callable, if is_plain { &[Check::NotResult] } else { &[] })
}

/// Expands to:
/// ```text
/// fn into_result(returned: Self::Returned) -> Result<Self::Value, Self::Error> {
///     <Result<Tracking, OrderError> as ::durable::__private::ResultLike>::into_result(returned)
/// }
/// ```
/// or, for a type that is not spelled as a `Result`, `Ok(returned)`.
fn emit_into_result(callable: &Callable) -> TokenStream {
    let at = at_value(callable);
    let (returned, result) = (Ident::new("returned", at), paths::result(at));
    let body = if let Shape::Plain = callable.returned.shape {
        let ok = paths::ok(at);
        quote_spanned!(at=> #ok(#returned))
    } else {
        let result_like = callable.paths.private_at("ResultLike", at);
        let ty = &callable.returned.ty;
        quote_spanned!(at=> <#ty as #result_like>::into_result(#returned))
    };
    quote_spanned! {at=>
        fn into_result(#returned: Self::Returned) -> #result<Self::Value, Self::Error> { #body }
    }
}

/// Expands to:
/// ```text
/// fn input() -> impl ::durable::__private::Form<Value = Self::Input> {
///     use ::durable::__private::probe::*;
///     let __durable_arg0 = (&&::durable::__private::InputProbe::<Order>::NEW).durable_input();
///     __durable_arg0.check_argument();
///     (&&::durable::__private::InputProbe::<Self::Input>::NEW).durable_input()
/// }
/// ```
/// One check per argument, placed on its type; the tuple itself is not checked, so each misfit is reported
/// once.
fn emit_input(callable: &Callable) -> TokenStream {
    let paths = &callable.paths;
    let (codec, probes, probe) = (paths.private("Form"), paths.private("probe"), paths.private("InputProbe"));
    let checks = callable.args.iter().enumerate().map(|(index, arg)| {
        let (ty, tag) = (&arg.ty, format_ident!("__durable_arg{index}", span = arg.span()));
        quote_spanned! {Span::mixed_site()=>
            let #tag = (&&#probe::<#ty>::NEW).durable_input();
            #tag.check_argument();
        }
    });
    quote_spanned! {Span::mixed_site()=>
        fn input() -> impl #codec<Value = Self::Input> {
            use #probes::*;
            #(#checks)*
            (&&#probe::<Self::Input>::NEW).durable_input()
        }
    }
}

/// Expands to:
/// ```text
/// #[doc(hidden)]
/// impl ::durable::__private::SyncWorkflow for fulfil {
///     fn call(input: Self::Input) -> Self::Returned {
///         let (order,) = input;
///         fulfil(order)
///     }
/// }
/// ```
/// An `async fn` implements `AsyncWorkflow`, whose `call` returns `impl Future<Output = Self::Returned> +
/// Send`.
fn emit_call_impl(workflow: &Workflow) -> TokenStream {
    let Workflow { callable, twin, .. } = workflow;
    let (name, input) = (&callable.sig.ident, local("input"));
    let fields =
        (0..callable.args.len()).map(|index| format_ident!("__field{index}", span = Span::mixed_site()));
    let fields = fields.collect::<Vec<_>>();
    let at = Span::mixed_site().located_at(name.span());
    let (of, output) = if callable.sig.asyncness.is_some() {
        let (future, send) = (paths::future(at), paths::send(at));
        let output = quote_spanned!(at=> impl #future<Output = Self::Returned> + #send);
        (callable.paths.private("AsyncWorkflow"), output)
    } else {
        (callable.paths.private("SyncWorkflow"), quote_spanned!(Span::mixed_site()=> Self::Returned))
    };
    quote_spanned! {Span::mixed_site()=>
        #[doc(hidden)]
        impl #of for #twin {
            fn call(#input: Self::Input) -> #output {
                let (#(#fields,)*) = #input;
                #name(#(#fields),*)
            }
        }
    }
}
