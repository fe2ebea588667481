//! A function as its author wrote it: attributes, visibility, signature, and the body as one group of tokens.
//! The body is not parsed: rustc reads it once, and reports a mistake in it once, where it is.
//! Knows no rule about what a step or a workflow may be.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser as _};
use syn::{AttrStyle, Attribute, Signature, Token, Visibility};

/// A function, method or trait method, with a body or without.
pub(crate) struct Func {
    /// What stands above it, docs included.
    pub(crate) attrs: Vec<Attribute>,
    /// `pub`, `pub(crate)` or nothing.
    pub(crate) vis: Visibility,
    /// All from `async` or `fn` to the body.
    pub(crate) sig: Signature,
    /// The braces and what they hold; `None` for a trait method without a default.
    pub(crate) body: Option<Group>,
}

impl Func {
    /// Parses `item`, or says with `#[durable::<attribute>]` in the text where that attribute belongs.
    pub(crate) fn parse(attribute: &str, item: TokenStream) -> syn::Result<Self> {
        let parser = |input: ParseStream<'_>| {
            let mut attrs = input.call(Attribute::parse_outer)?;
            let vis = input.parse()?;
            if !starts_function(input) {
                return Err(input.error(wrong_place(attribute, input)));
            }
            let sig = input.parse()?;
            let body = parse_body(input)?.map(|body| lift_inner_attrs(body, &mut attrs)).transpose()?;
            Ok(Self { attrs, vis, sig, body })
        };
        parser.parse2(item)
    }
}

/// Whether a function begins here: qualifiers, then `fn`.
fn starts_function(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    let qualifiers = |ahead: ParseStream<'_>| -> syn::Result<()> {
        ahead.parse::<Option<Token![const]>>()?;
        ahead.parse::<Option<Token![async]>>()?;
        ahead.parse::<Option<Token![unsafe]>>()?;
        ahead.parse::<Option<syn::Abi>>()?;
        Ok(())
    };
    qualifiers(&ahead).is_ok() && ahead.peek(Token![fn])
}

fn parse_body(input: ParseStream<'_>) -> syn::Result<Option<Group>> {
    if input.parse::<Option<Token![;]>>()?.is_some() {
        return Ok(None);
    }
    let at = input.span();
    let body = braces(input.parse()?).ok_or_else(|| syn::Error::new(at, "expected a body"))?;
    Ok(Some(body))
}

/// The braces, without the invisible delimiters that a `$body:block` of a `macro_rules!` puts around them.
fn braces(tree: TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = tree else { return None };
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => group.stream().into_iter().next().and_then(braces),
        Delimiter::Parenthesis | Delimiter::Bracket => None,
    }
}

/// Moves `#![allow(…)]` from the start of a body to the function: a closure's body cannot hold it.
fn lift_inner_attrs(body: Group, attrs: &mut Vec<Attribute>) -> syn::Result<Group> {
    let parser = |input: ParseStream<'_>| Ok((input.call(Attribute::parse_inner)?, input.parse()?));
    let (inner, rest): (Vec<Attribute>, TokenStream) = parser.parse2(body.stream())?;
    if inner.is_empty() {
        return Ok(body);
    }
    attrs.extend(inner.into_iter().map(|attr| Attribute { style: AttrStyle::Outer, ..attr }));
    let mut lifted = Group::new(Delimiter::Brace, rest);
    lifted.set_span(body.span());
    Ok(lifted)
}

fn wrong_place(attribute: &str, item: ParseStream<'_>) -> String {
    let places = if attribute == "workflow" { "functions" } else { "functions and methods" };
    let instead = if item.peek(Token![impl]) || item.peek(Token![trait]) {
        "; put it on the methods inside that need it"
    } else if item.peek(Token![mod]) {
        "; put it on the functions inside that need it"
    } else {
        ""
    };
    format!("`#[durable::{attribute}]` can be placed on {places} only{instead}")
}
