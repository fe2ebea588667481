//! The expansion of a step: the function as it was written, around one call of the engine.
//! Plain or retried, `fn` or `async fn`: four calls of one shape, so that each part is emitted in one place.
//! Nothing here can fail.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned as _;

use super::{
    Check, emit_args, emit_awaited, emit_binding, emit_closure, emit_codec, emit_function, emit_future,
    emit_pinned_type, emit_rebinding, emit_site, emit_typed_body, emit_use_attrs,
};
use crate::model::{Arg, Callable, Retry, Step};

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
/// ::durable::__private::step_async(<spec>, <codec>, <args>, <future>)
/// ```
/// and awaits it.
fn emit_step_async(step: &Step) -> TokenStream {
    let function = step.callable.paths.private("step_async");
    let (spec, codec, args) = emit_parts(step);
    let future = emit_future(&step.callable);
    let call = quote_spanned!(Span::mixed_site()=> #function(#spec, #codec, #args, #future));
    emit_awaited(&step.callable, &call)
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
/// })
/// ```
/// and awaits it.
fn emit_step_async_retried(step: &Step, retry: &Retry) -> TokenStream {
    let callable = &step.callable;
    let function = callable.paths.private("step_async_retried");
    let (spec, codec, args) = emit_parts(step);
    let retry_if = emit_retry_if(callable, retry);
    let copies = callable.args.iter().filter_map(|arg| emit_copy(callable, arg));
    let (pinned, body) = (emit_pinned_type(callable), emit_typed_body(callable));
    let call = quote_spanned! {Span::mixed_site()=>
        #function(#spec, #codec, #args, #retry_if, move || { #(#copies)* async move { #pinned #body } })
    };
    emit_awaited(callable, &call)
}

fn emit_parts(step: &Step) -> (TokenStream, TokenStream, TokenStream) {
    let retries = step.retry.as_ref().map(|_| Check::Retries);
    let timeout = step.timeout_ms.map(|_| Check::Timeout);
    let checks = retries.into_iter().chain(timeout).collect::<Vec<_>>();
    let codec = emit_codec(&step.callable, &checks);
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
    let at_most_once = step.at_most_once.then(|| quote_spanned!(Span::mixed_site()=> .at_most_once()));
    let strict = step.strict.then(|| quote_spanned!(Span::mixed_site()=> .strict()));
    quote_spanned!(Span::mixed_site()=> const { &#spec::new(#name, #site) #retry #timeout #at_most_once #strict })
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
    Some(emit_rebinding(&attrs, pattern, &copy))
}

fn emit_clone(callable: &Callable, arg: &Arg) -> TokenStream {
    let at = Span::mixed_site().located_at(arg.span());
    let (clone, outer) = (callable.paths.private_at("clone_for_each_attempt", at), &arg.outer);
    quote_spanned!(at=> #clone(&#outer))
}

/// Expands to:
/// ```text
/// {
///     use ::durable::__private::probe::*;
///     (&&::durable::__private::Probe::<Result<Payment, OrderError>>::NEW)
///         .durable_split()
///         .retry_if(|__failure| path::to::predicate(__failure))
/// }
/// ```
/// or, without the option, a predicate that is always true. The closure makes a wrong predicate one error.
fn emit_retry_if(callable: &Callable, retry: &Retry) -> TokenStream {
    let Some(predicate) = &retry.only_if else {
        return quote_spanned!(Span::mixed_site()=> |_| true);
    };
    let (probes, probe) = (callable.paths.private("probe"), callable.paths.private("Probe"));
    let (ty, at) = (&callable.returned.ty, Span::mixed_site().located_at(predicate.span()));
    let failure = Ident::new("__failure", at);
    let closure = quote_spanned!(at=> |#failure| #predicate(#failure));
    quote_spanned! {Span::mixed_site()=>
        {
            use #probes::*;
            (&&#probe::<#ty>::NEW).durable_split().retry_if(#closure)
        }
    }
}
