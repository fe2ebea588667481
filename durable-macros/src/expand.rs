//! From a checked model to tokens: one `emit_*` per piece, each with what it expands to above it.
//! Nothing here can fail; whatever could be wrong was refused in `model`.
//! Generated names have mixed-site spans, so that a body cannot see them and no lint takes them for the
//! user's.

mod step;
mod workflow;

pub(crate) use step::step;
pub(crate) use workflow::workflow;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

use crate::args::ArgsMode;
use crate::model::{Arg, Callable};
use crate::paths;

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

/// What a return type must be, beyond storable.
#[derive(Clone, Copy)]
pub(super) enum Check {
    /// `retries` repeats what failed.
    Retries,
    /// A late attempt becomes an error of the step.
    Timeout,
    /// A name that does not end in `Result` stands for a type that is none.
    NotResult,
}

/// Expands to:
/// ```text
/// {
///     use ::durable::__private::probe::*;
///     let __durable_split = (&&::durable::__private::Probe::<Result<Payment, OrderError>>::NEW).durable_split();
///     let __durable_value = (&&__durable_split.ok()).durable_ok();
///     let __durable_error = (&&&&__durable_split.err()).durable_err();
///     __durable_value.check_value();
///     __durable_error.check_error();
///     <further checks>
///     __durable_split.codec(__durable_value, __durable_error)
/// }
/// ```
/// The receivers have plain spans of the types that they check: a missing bound is reported there.
pub(super) fn emit_codec(callable: &Callable, checks: &[Check]) -> TokenStream {
    let (probes, probe) = (callable.paths.private("probe"), callable.paths.private("Probe"));
    let returned = &callable.returned;
    let (ty, split) = (&returned.ty, Ident::new("__durable_split", returned.span));
    let value = Ident::new("__durable_value", returned.value_span);
    let error = Ident::new("__durable_error", returned.error_span);
    let checks = checks.iter().map(|check| emit_check(*check, &split, &error));
    quote_spanned! {Span::mixed_site()=>
        {
            use #probes::*;
            let #split = (&&#probe::<#ty>::NEW).durable_split();
            let #value = (&&#split.ok()).durable_ok();
            let #error = (&&&&#split.err()).durable_err();
            #value.check_value();
            #error.check_error();
            #(#checks)*
            #split.codec(#value, #error)
        }
    }
}

/// Expands to:
/// ```text
/// __durable_split.check_can_fail();
/// ```
/// or its kin; a timeout asks whether there is an error type, then what it can hold. The method is placed on
/// the type as its receiver is, because a bound that is not on the receiver's own parameter is reported
/// there.
fn emit_check(check: Check, split: &Ident, error: &Ident) -> TokenStream {
    let on = |receiver: &Ident, method: &str| {
        let method = Ident::new(method, receiver.span());
        quote_spanned!(Span::mixed_site()=> #receiver.#method();)
    };
    match check {
        Check::Retries => on(split, "check_can_fail"),
        Check::Timeout => [on(split, "check_timeout"), on(error, "check_timeout")].into_iter().collect(),
        Check::NotResult => on(split, "check_no_result"),
    }
}

/// Expands to:
/// ```text
/// ::durable::__private::args(|__a| {
///     use ::durable::__private::probe::*;
///     (&&::durable::__private::ArgProbe(&order)).durable_arg(__a);
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
        quote_spanned!(Span::mixed_site()=> (&&#probe(&#this)).durable_arg(#sink);)
    });
    let each = callable.args.iter().map(|arg| {
        let (attrs, name) = (emit_use_attrs(arg), &arg.outer);
        if mode == ArgsMode::Record {
            emit_recorded_arg(callable, arg, &sink)
        } else {
            quote_spanned!(Span::mixed_site()=> #attrs (&&#probe(&#name)).durable_arg(#sink);)
        }
    });
    let imports = (receiver.is_some() || mode != ArgsMode::Record)
        .then(|| quote_spanned!(Span::mixed_site()=> use #probes::*;));
    quote_spanned!(Span::mixed_site()=> #args(|#sink| { #imports #receiver #(#each)* }))
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
    let borrow = (!matches!(arg.ty, syn::Type::Reference(_))).then(|| quote_spanned!(at=> &));
    quote_spanned!(at=> #attrs #record(#sink, #borrow #name);)
}

/// Expands to: the `cfg`s of the argument, and for a name such as `_order`, which only the expansion uses,
/// ```text
/// #[allow(clippy::used_underscore_binding)]
/// ```
pub(super) fn emit_use_attrs(arg: &Arg) -> TokenStream {
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
/// let __call = {
///     let order = order;
///     <call>
/// };
/// __call.await
/// ```
/// Hashing borrows the arguments, and a future keeps what was ever borrowed until its scope ends, although it
/// is moved on: here that scope ends before the `await`, so that no argument is kept twice.
pub(super) fn emit_awaited(callable: &Callable, call: &TokenStream) -> TokenStream {
    let moved = callable.args.iter().filter(|arg| !arg.is_unused()).map(|arg| {
        let (cfg, name) = (arg.cfg(), &arg.outer);
        emit_rebinding(&quote_spanned!(Span::mixed_site()=> #(#cfg)*), name, name)
    });
    let moved = moved.collect::<Vec<_>>();
    if moved.is_empty() {
        return quote_spanned!(Span::mixed_site()=> #call.await);
    }
    let name = local("__call");
    quote_spanned!(Span::mixed_site()=> let #name = { #(#moved)* #call }; #name.await)
}

/// Expands to:
/// ```text
/// if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<Result<T, E>> { return __ret; }
/// ```
/// It tells the compiler the type before it reads the body, as a plain function's signature does.
pub(super) fn emit_pinned_type(callable: &Callable) -> TokenStream {
    let at = Span::mixed_site().located_at(callable.returned.value_span);
    let (ty, some, none) = (&callable.returned.ty, paths::some(at), paths::none(at));
    let ret = Ident::new("__ret", at);
    quote_spanned! {at=>
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
pub(super) fn emit_typed_body(callable: &Callable) -> TokenStream {
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
pub(super) fn emit_binding(arg: &Arg) -> Option<TokenStream> {
    let Arg { attrs, outer, pattern, .. } = arg;
    // A second `let _order` would be reported as one without an effect.
    (!arg.is_unused())
        .then(|| emit_rebinding(&quote_spanned!(Span::mixed_site()=> #(#attrs)*), pattern, outer))
}

/// Expands to:
/// ```text
/// #[allow(clippy::shadow_reuse, clippy::shadow_same, clippy::shadow_unrelated)]
/// let order = order;
/// ```
/// The author wrote the name once, and is not to be told that it is there twice.
pub(super) fn emit_rebinding(
    attrs: &TokenStream,
    pattern: &impl ToTokens,
    value: &impl ToTokens,
) -> TokenStream {
    quote_spanned! {Span::mixed_site()=>
        #attrs
        #[allow(clippy::shadow_reuse, clippy::shadow_same, clippy::shadow_unrelated)]
        let #pattern = #value;
    }
}

/// The name of the argument in `run_durable` and its kin, which use it: the author's, or one by its number
/// for a pattern and for a name such as `_order`, which says that it is not used.
pub(super) fn public_name(index: usize, arg: &Arg) -> Ident {
    if arg.outer.to_string().starts_with('_') { local(&format!("arg{index}")) } else { arg.outer.clone() }
}
