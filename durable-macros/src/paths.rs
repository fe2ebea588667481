//! Every path that an expansion names, absolute, from one place.
//! A bare `Ok` or `durable` in generated code would find whatever the user's scope holds under that name.
//! Knows no item and no option.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

/// The paths of one expansion: they all start at the crate `durable`, under whatever name the user has it.
pub(crate) struct Paths {
    root: TokenStream,
}

impl Paths {
    /// Paths below `root`, which is `::durable` unless the option `crate` says otherwise.
    pub(crate) fn new(root: Option<&syn::Path>) -> Self {
        Self { root: root.map_or_else(|| quote!(::durable), ToTokens::to_token_stream) }
    }

    /// `::durable::<name>`: a public item that a user may read in docs and signatures.
    pub(crate) fn public(&self, name: &str) -> TokenStream {
        let (root, name) = (&self.root, Ident::new(name, Span::mixed_site()));
        quote!(#root::#name)
    }

    /// `::durable::__private::<name>`: what only expansions name.
    pub(crate) fn private(&self, name: &str) -> TokenStream {
        self.private_at(name, Span::mixed_site())
    }

    /// The same, reported at `span` when the compiler has something to say about it.
    pub(crate) fn private_at(&self, name: &str, span: Span) -> TokenStream {
        let (root, name) = (&self.root, Ident::new(name, span));
        quote_spanned!(span=> #root::__private::#name)
    }
}

/// `::core::result::Result`.
pub(crate) fn result() -> TokenStream {
    quote!(::core::result::Result)
}

/// `::core::result::Result::Ok`.
pub(crate) fn ok() -> TokenStream {
    quote!(::core::result::Result::Ok)
}

/// `::core::option::Option::Some`.
pub(crate) fn some() -> TokenStream {
    quote!(::core::option::Option::Some)
}

/// `::core::option::Option::None`.
pub(crate) fn none() -> TokenStream {
    quote!(::core::option::Option::None)
}

/// `::core::convert::Infallible`.
pub(crate) fn infallible() -> TokenStream {
    quote!(::core::convert::Infallible)
}

/// `::core::future::Future`.
pub(crate) fn future() -> TokenStream {
    quote!(::core::future::Future)
}

/// `::core::marker::Send`.
pub(crate) fn send() -> TokenStream {
    quote!(::core::marker::Send)
}

/// `::core::convert::AsRef`.
pub(crate) fn as_ref() -> TokenStream {
    quote!(::core::convert::AsRef)
}
