//! From a checked model to tokens: one `emit_*` per piece, each with what it expands to above it.
//! Nothing here can fail; whatever could be wrong was refused in `model`.
//! Generated names have mixed-site spans, so that a body cannot see them and no lint takes them for the user's.

mod workflow;

pub(crate) use workflow::workflow;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};

use crate::args::ArgsMode;
use crate::model::{Arg, Callable, Retry, Step};
use crate::paths;

/// Expands to:
/// ```text
/// pub fn charge(order: &Order) -> Result<Payment, OrderError> { <a call of `__private::step`> }
/// ```
pub(crate) fn step(step: &Step) -> TokenStream {
    let call = match (&step.retry, step.callable.sig.asyncness.is_some()) {
        (None, false) => emit_step(step),
        (None, true) => emit_step_async(step),
        (Some(retry), false) => emit_step_retried(step, retry),
        (Some(retry), true) => emit_step_async_retried(step, retry),
    };
    emit_function(&step.callable, call)
}

/// A name that neither the body nor a lint can see.
pub(super) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Expands to: the function as it was written, attributes and `fn` token included, around `inside`.
///
/// The outer braces have the body's place, which keeps `dead_code` and the like at work for the function.
pub(super) fn emit_function(callable: &Callable, inside: TokenStream) -> TokenStream {
    let Callable { attrs, vis, sig, body, .. } = callable;
    let mut braces = Group::new(Delimiter::Brace, inside);
    braces.set_span(body.span());
    quote_spanned!(Span::mixed_site()=> #(#attrs)* #vis #sig #braces)
}

/// Expands to:
/// ```text
/// ::durable::__private::step(<spec>, <codec>, <args>, <closure>)
/// ```
fn emit_step(step: &Step) -> TokenStream {
    let function = step.callable.paths.private("step");
    let (spec, codec, args) = emit_parts(step);
    let closure = emit_closure(&step.callable);
    quote_spanned!(Span::mixed_site()=> #function(#spec, #codec, #args, #closure))
}

/// Expands to:
/// ```text
/// ::durable::__private::step_async(<spec>, <codec>, <args>, <future>).await
/// ```
fn emit_step_async(step: &Step) -> TokenStream {
    let function = step.callable.paths.private("step_async");
    let (spec, codec, args) = emit_parts(step);
    let future = emit_future(&step.callable);
    quote_spanned!(Span::mixed_site()=> #function(#spec, #codec, #args, #future).await)
}

/// Expands to:
/// ```text
/// ::durable::__private::step_retried(<spec>, <codec>, <args>, <retry if>, move || -> Result<Payment, OrderError> {
///     let mut url = ::durable::__private::clone_for_each_attempt(&url);
///     <typed body>
/// })
/// ```
fn emit_step_retried(step: &Step, retry: &Retry) -> TokenStream {
    let function = step.callable.paths.private("step_retried");
    let (spec, codec, args) = emit_parts(step);
    let retry_if = emit_retry_if(&step.callable, retry);
    let returned = &step.callable.returned.ty;
    let body = emit_typed_body(&step.callable);
    let copies = step.callable.args.iter().filter_map(|arg| emit_copy(&step.callable, arg));
    quote_spanned! {Span::mixed_site()=>
        #function(#spec, #codec, #args, #retry_if, move || -> #returned { #(#copies)* #body })
    }
}

/// Expands to:
/// ```text
/// ::durable::__private::step_async_retried(<spec>, <codec>, <args>, <retry if>, move || {
///     let mut url = ::durable::__private::clone_for_each_attempt(&url);
///     async move { <pinned type> <typed body> }
/// }).await
/// ```
fn emit_step_async_retried(step: &Step, retry: &Retry) -> TokenStream {
    let callable = &step.callable;
    let function = callable.paths.private("step_async_retried");
    let (spec, codec, args) = emit_parts(step);
    let retry_if = emit_retry_if(callable, retry);
    let copies = callable.args.iter().filter_map(|arg| emit_copy(callable, arg));
    let (pinned, body) = (emit_pinned_type(callable), emit_typed_body(callable));
    quote_spanned! {Span::mixed_site()=>
        #function(#spec, #codec, #args, #retry_if, move || { #(#copies)* async move { #pinned #body } }).await
    }
}

fn emit_parts(step: &Step) -> (TokenStream, TokenStream, TokenStream) {
    let codec = emit_codec(&step.callable, step.timeout_ms.is_some());
    (emit_step_spec(step), codec, emit_args(&step.callable, step.mode))
}

/// Expands to:
/// ```text
/// const { &::durable::__private::StepSpec::new("charge", <site>).retry(5, 200, 30_000).timeout(30_000).strict() }
/// ```
fn emit_step_spec(step: &Step) -> TokenStream {
    let (spec, name) = (step.callable.paths.private("StepSpec"), &step.callable.name);
    let site = emit_site(&step.callable);
    let retry = step.retry.as_ref().map(|Retry { retries, backoff, .. }| {
        let (min, max) = (backoff.min_delay_ms, backoff.max_delay_ms);
        quote_spanned!(Span::mixed_site()=> .retry(#retries, #min, #max))
    });
    let timeout = step.timeout_ms.map(|ms| quote_spanned!(Span::mixed_site()=> .timeout(#ms)));
    let strict = step.strict.then(|| quote_spanned!(Span::mixed_site()=> .strict()));
    quote_spanned!(Span::mixed_site()=> const { &#spec::new(#name, #site) #retry #timeout #strict })
}

/// Expands to:
/// ```text
/// ::durable::__private::Site { file: "src/orders.rs", line: 12 }
/// ```
/// The line is that of the function's name. Outside a compiler, in our own tests, it is `line!()`.
pub(super) fn emit_site(callable: &Callable) -> TokenStream {
    let site = callable.paths.private("Site");
    let (file, line) = if proc_macro::is_available() {
        let span = callable.sig.ident.span().unwrap();
        let (file, line) = (span.file(), u32::try_from(span.line()).unwrap_or(u32::MAX));
        (file.into_token_stream(), line.into_token_stream())
    } else {
        (
            quote_spanned!(Span::mixed_site()=> ::core::file!()),
            quote_spanned!(Span::mixed_site()=> ::core::line!()),
        )
    };
    quote_spanned!(Span::mixed_site()=> #site { file: #file, line: #line })
}

/// Expands to:
/// ```text
/// {
///     use ::durable::__private::probe::*;
///     let __split = (&&::durable::__private::Probe::<Result<Payment, OrderError>>::NEW).split();
///     let __durable_value = (&&__split.ok()).ok_tag();
///     let __durable_error = (&&&__split.err()).err_tag();
///     __durable_value.check_value();
///     __durable_error.check_error();
///     __split.codec(__durable_value, __durable_error)
/// }
/// ```
/// The receivers of the two checks have plain spans of the types that they check: a missing bound is reported there.
pub(super) fn emit_codec(callable: &Callable, has_timeout: bool) -> TokenStream {
    let (probes, probe) = (callable.paths.private("probe"), callable.paths.private("Probe"));
    let returned = &callable.returned;
    let (split, ty) = (local("__split"), &returned.ty);
    let value = Ident::new("__durable_value", returned.value_span);
    let error = Ident::new("__durable_error", returned.error_span);
    let timeout = has_timeout.then(|| quote_spanned!(Span::mixed_site()=> #error.check_timeout();));
    quote_spanned! {Span::mixed_site()=>
        {
            use #probes::*;
            let #split = (&&#probe::<#ty>::NEW).split();
            let #value = (&&#split.ok()).ok_tag();
            let #error = (&&&#split.err()).err_tag();
            #value.check_value();
            #error.check_error();
            #timeout
            #split.codec(#value, #error)
        }
    }
}

/// Expands to:
/// ```text
/// ::durable::__private::args(|__a| {
///     use ::durable::__private::probe::*;
///     (&&::durable::__private::ArgProbe(&order)).add(__a);
/// })
/// ```
/// or `::durable::__private::no_args()`.
pub(super) fn emit_args(callable: &Callable, mode: ArgsMode) -> TokenStream {
    let paths = &callable.paths;
    let is_empty = callable.receiver.is_none() && callable.args.is_empty();
    if is_empty || mode == ArgsMode::Ignore {
        let no_args = paths.private("no_args");
        return quote_spanned!(Span::mixed_site()=> #no_args());
    }
    let (args, probes, probe) = (paths.private("args"), paths.private("probe"), paths.private("ArgProbe"));
    let sink = local("__a");
    let receiver = callable.receiver.as_ref().map(|receiver| {
        let this = receiver.self_token;
        quote_spanned!(Span::mixed_site()=> (&&#probe(&#this)).add(#sink);)
    });
    let each = callable.args.iter().map(|arg| {
        let (attrs, name) = (emit_use_attrs(arg), &arg.outer);
        if mode == ArgsMode::Record {
            emit_recorded_arg(callable, arg, &sink)
        } else {
            quote_spanned!(Span::mixed_site()=> #attrs (&&#probe(&#name)).add(#sink);)
        }
    });
    quote_spanned!(Span::mixed_site()=> #args(|#sink| { use #probes::*; #receiver #(#each)* }))
}

/// Expands to:
/// ```text
/// ::durable::__private::record_arg(__a, &order);
/// ```
/// placed on the argument's type, where a missing `Serialize` is reported.
fn emit_recorded_arg(callable: &Callable, arg: &Arg, sink: &Ident) -> TokenStream {
    let at = Span::mixed_site().located_at(arg.span());
    let (record, attrs, name) =
        (callable.paths.private_at("record_arg", at), emit_use_attrs(arg), &arg.outer);
    quote_spanned!(at=> #attrs #record(#sink, &#name);)
}

/// Expands to: the `cfg`s of the argument, and for a name such as `_order`, which only the expansion uses,
/// ```text
/// #[allow(clippy::used_underscore_binding)]
/// ```
fn emit_use_attrs(arg: &Arg) -> TokenStream {
    let cfg = arg.cfg();
    let unused = arg
        .is_unused()
        .then(|| quote_spanned!(Span::mixed_site()=> #[allow(clippy::used_underscore_binding)]));
    quote_spanned!(Span::mixed_site()=> #(#cfg)* #unused)
}

/// Expands to:
/// ```text
/// {
///     let mut order = order;
///     let (a, b) = __arg1;
///     move || -> Result<Payment, OrderError> <the body as it was written>
/// }
/// ```
/// The names are bound again so that an argument that the body does not use is still reported as unused.
pub(super) fn emit_closure(callable: &Callable) -> TokenStream {
    let (returned, body) = (&callable.returned.ty, &callable.body);
    let bindings = callable.args.iter().filter_map(emit_binding);
    let closure = quote_spanned!(Span::mixed_site()=> move || -> #returned #body);
    if callable.args.is_empty() {
        return closure;
    }
    quote_spanned!(Span::mixed_site()=> { #(#bindings)* #closure })
}

/// Expands to:
/// ```text
/// {
///     let mut order = order;
///     async move { <pinned type> <typed body> }
/// }
/// ```
pub(super) fn emit_future(callable: &Callable) -> TokenStream {
    let bindings = callable.args.iter().filter_map(emit_binding);
    let (pinned, body) = (emit_pinned_type(callable), emit_typed_body(callable));
    let future = quote_spanned!(Span::mixed_site()=> async move { #pinned #body });
    if callable.args.is_empty() {
        return future;
    }
    quote_spanned!(Span::mixed_site()=> { #(#bindings)* #future })
}

/// Expands to:
/// ```text
/// if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<Result<T, E>> { return __ret; }
/// ```
/// It tells the compiler the type before it reads the body, as a plain function's signature does.
fn emit_pinned_type(callable: &Callable) -> TokenStream {
    let (ty, ret, some, none) = (&callable.returned.ty, local("__ret"), paths::some(), paths::none());
    quote_spanned! {Span::mixed_site()=>
        if let #some(#ret) = #none::<#ty> {
            return #ret;
        }
    }
}

/// Expands to:
/// ```text
/// #[allow(unused_braces, clippy::diverging_sub_expression)]
/// let __ret: Result<T, E> = <the body as it was written>;
/// #[allow(unreachable_code)]
/// __ret
/// ```
fn emit_typed_body(callable: &Callable) -> TokenStream {
    let (ty, body, ret) = (&callable.returned.ty, &callable.body, local("__ret"));
    quote_spanned! {Span::mixed_site()=>
        #[allow(unused_braces, clippy::diverging_sub_expression)]
        let #ret: #ty = #body;
        #[allow(unreachable_code)]
        #ret
    }
}

/// Expands to:
/// ```text
/// let (a, b) = __arg0;
/// ```
fn emit_binding(arg: &Arg) -> Option<TokenStream> {
    let Arg { attrs, outer, pattern, .. } = arg;
    // A second `let _order` would be reported as one without an effect.
    (!arg.is_unused()).then(|| quote_spanned!(Span::mixed_site()=> #(#attrs)* let #pattern = #outer;))
}

/// Expands to:
/// ```text
/// let mut url = ::durable::__private::clone_for_each_attempt(&url);
/// ```
/// for an argument by value, placed on its type; a reference is bound as it is.
fn emit_copy(callable: &Callable, arg: &Arg) -> Option<TokenStream> {
    if matches!(arg.ty, syn::Type::Reference(_)) {
        return emit_binding(arg);
    }
    let (attrs, pattern, copy) = (emit_use_attrs(arg), &arg.pattern, emit_clone(callable, arg));
    Some(quote_spanned!(Span::mixed_site()=> #attrs let #pattern = #copy;))
}

fn emit_clone(callable: &Callable, arg: &Arg) -> TokenStream {
    let at = Span::mixed_site().located_at(arg.span());
    let (clone, outer) = (callable.paths.private_at("clone_for_each_attempt", at), &arg.outer);
    quote_spanned!(at=> #clone(&#outer))
}

/// Expands to:
/// ```text
/// ::durable::__private::retry_if::<Result<Payment, OrderError>, _>(|__failure| path::to::predicate(__failure))
/// ```
/// or `retry_always::<…>()`; both need a return type that can fail, and are placed on it.
fn emit_retry_if(callable: &Callable, retry: &Retry) -> TokenStream {
    let ty = &callable.returned.ty;
    let at = Span::mixed_site().located_at(callable.returned.error_span);
    if let Some(predicate) = &retry.only_if {
        let (function, failure) = (callable.paths.private_at("retry_if", at), local("__failure"));
        quote_spanned!(at=> #function::<#ty, _>(|#failure| #predicate(#failure)))
    } else {
        let function = callable.paths.private_at("retry_always", at);
        quote_spanned!(at=> #function::<#ty>())
    }
}

/// The name of the argument in `run_durable` and its kin: the author's, or one by its number.
pub(super) fn public_name(index: usize, arg: &Arg) -> Ident {
    if arg.outer.to_string().starts_with("__arg") { format_ident!("arg{index}") } else { arg.outer.clone() }
}
