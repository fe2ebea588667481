//! Every path that an expansion names, absolute, from one place.
//! A bare `Ok` or `durable` in generated code would find whatever the user's scope holds under that name.
//! Knows no item and no option.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};

/// The paths of one expansion: they all start at the crate `durable`, under whatever name the user has it.
pub(crate) struct Paths {
    /// The option `crate`; without it the crate is `::durable`.
    root: Option<syn::Path>,
}

impl Paths {
    /// Paths below `root`, or below `::durable`.
    pub(crate) fn new(root: Option<syn::Path>) -> Self {
        Self { root }
    }

    /// The path that the option `crate` gives.
    pub(crate) fn root(&self) -> Option<&syn::Path> {
        self.root.as_ref()
    }

    fn root_at(&self, at: Span) -> TokenStream {
        self.root.as_ref().map_or_else(|| quote_spanned!(at=> ::durable), ToTokens::to_token_stream)
    }

    /// `::durable::<name>`: a public item that a user may read in docs and signatures.
    pub(crate) fn public(&self, name: &str, at: Span) -> TokenStream {
        let (root, name) = (self.root_at(at), Ident::new(name, at));
        quote_spanned!(at=> #root::#name)
    }

    /// `::durable::__private::<name>`: what only expansions name.
    pub(crate) fn private(&self, name: &str) -> TokenStream {
        self.private_at(name, Span::mixed_site())
    }

    /// The same, reported at `at` when the compiler has something to say about it.
    pub(crate) fn private_at(&self, name: &str, at: Span) -> TokenStream {
        let (root, name) = (self.root_at(at), Ident::new(name, at));
        quote_spanned!(at=> #root::__private::#name)
    }
}

/// Declares functions that give an absolute path of the standard library, placed at a span.
macro_rules! core_paths {
    ($($(#[$doc:meta])* $name:ident => { $($path:tt)+ })*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(at: Span) -> TokenStream {
                quote_spanned!(at=> $($path)+)
            }
        )*
    };
}

core_paths! {
    /// The type `Result`.
    result => { ::core::result::Result }
    /// The variant `Ok`.
    ok => { ::core::result::Result::Ok }
    /// The variant `Some`.
    some => { ::core::option::Option::Some }
    /// The variant `None`.
    none => { ::core::option::Option::None }
    /// The error that cannot be.
    infallible => { ::core::convert::Infallible }
    /// What an `async fn` returns.
    future => { ::core::future::Future }
    /// What can move to another thread.
    send => { ::core::marker::Send }
    /// What an id is given as.
    as_ref => { ::core::convert::AsRef }
}
