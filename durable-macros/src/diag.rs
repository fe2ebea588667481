//! The accumulator of mistakes: every one of an item is collected, all are reported at once.
//! An editor shows them together, so that a user corrects an item once instead of once per mistake.
//! Knows no option and no rule.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The mistakes found so far in one item, in the order in which they were found.
#[derive(Default)]
#[must_use = "mistakes that nobody reports would be accepted in silence"]
pub(crate) struct Diag {
    errors: Option<syn::Error>,
}

impl Diag {
    /// Notes a mistake that is underlined from the first to the last token of `tokens`.
    pub(crate) fn refuse(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Notes a mistake at one place.
    pub(crate) fn refuse_at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    /// Notes what a parser reports.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }

    /// Notes all that `other` has noted.
    pub(crate) fn absorb(&mut self, other: Self) {
        if let Some(errors) = other.errors {
            self.push(errors);
        }
    }

    /// Notes the mistake in `result`, or gives its value.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Whether nothing was noted.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.is_none()
    }

    /// One `compile_error!` per mistake; nothing if there is none.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.errors.map(syn::Error::into_compile_error).unwrap_or_default()
    }

    /// The mistakes as text, for the tests that compare wording.
    #[cfg(test)]
    pub(crate) fn messages(self) -> Vec<String> {
        self.errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }
}
