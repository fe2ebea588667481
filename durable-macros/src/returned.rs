//! A return type as it is spelled: the whole, and where its value and its error stand.
//! Spelling decides what docs and entry points show, and where an error is underlined; what a type *is*, the
//! compiler decides by probing. Knows no generated code.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{GenericArgument, PathArguments, ReturnType, Signature, Type};

/// A return type, taken apart as far as its spelling allows.
pub(crate) struct Returned {
    /// The type itself; `()` where none is written.
    pub(crate) ty: TokenStream,
    /// Whether the signature spells it.
    pub(crate) is_written: bool,
    /// Where the whole is: what it is beyond its parts is reported there.
    pub(crate) span: Span,
    /// Where a value that cannot be stored is reported.
    pub(crate) value_span: Span,
    /// Where an error that cannot be stored is reported.
    pub(crate) error_span: Span,
    /// What the entry points of a workflow make of it.
    pub(crate) shape: Shape,
}

/// How the spelling names value and error.
pub(crate) enum Shape {
    /// `Result<T, E>`, under whatever name that ends in `Result`.
    Spelled { value: Box<Type>, error: Box<Type> },
    /// An alias of `Result` that hides one type or both, such as `io::Result<T>`.
    Alias,
    /// A type that cannot fail.
    Plain,
}

impl Returned {
    /// Reads the return type of `sig`.
    pub(crate) fn new(sig: &Signature) -> Self {
        let ReturnType::Type(_, ty) = &sig.output else {
            let span = sig.ident.span();
            let ty = quote_spanned!(Span::mixed_site().located_at(span)=> ());
            return Self {
                ty,
                is_written: false,
                span,
                value_span: span,
                error_span: span,
                shape: Shape::Plain,
            };
        };
        let parameters = result_parameters(ty);
        let spans = parameters.as_deref().map(|types| types.iter().map(Spanned::span).collect::<Vec<_>>());
        let (value_span, error_span) = match spans.as_deref() {
            Some([value, error, ..]) => (*value, *error),
            Some([value]) => (*value, ty.span()),
            Some([]) | None => (ty.span(), ty.span()),
        };
        let shape = match parameters.as_deref() {
            Some([value, error]) => {
                Shape::Spelled { value: Box::new((*value).clone()), error: Box::new((*error).clone()) }
            }
            Some(_) => Shape::Alias,
            None => Shape::Plain,
        };
        Self { ty: ty.to_token_stream(), is_written: true, span: ty.span(), value_span, error_span, shape }
    }
}

/// The type parameters of a type whose last name ends in `Result`; `None` for any other type.
fn result_parameters(ty: &Type) -> Option<Vec<&Type>> {
    let path = match ty {
        Type::Path(path) => path,
        Type::Group(group) => return result_parameters(&group.elem),
        Type::Paren(paren) => return result_parameters(&paren.elem),
        _ => return None,
    };
    let last = path.path.segments.last()?;
    if !last.ident.to_string().ends_with("Result") {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}
