//! An expansion raises no lint in a library: this crate compiles, and passes clippy, with everything denied,
//! on an older edition.
//!
//! `tests/lints.rs` of the root is the same for a program of the current edition, where lints about public
//! items do not ask. What is expected here is what these functions, and not their expansions, would be told.
#![forbid(unsafe_code)]
#![deny(
    warnings,
    future_incompatible,
    keyword_idents,
    let_underscore,
    nonstandard_style,
    refining_impl_trait,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    unused
)]
#![deny(
    absolute_paths_not_starting_with_crate,
    ambiguous_negative_literals,
    deprecated_in_future,
    explicit_outlives_requirements,
    impl_trait_redundant_captures,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    redundant_imports,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_macro_rules,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::arithmetic_side_effects,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::expect_used,
    clippy::impl_trait_in_params,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    clippy::let_underscore_untyped,
    clippy::min_ident_chars,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::module_name_repetitions,
    clippy::multiple_inherent_impl,
    clippy::panic,
    clippy::shadow_reuse,
    clippy::shadow_same,
    clippy::shadow_unrelated,
    clippy::std_instead_of_core,
    clippy::unreachable,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]
#![expect(clippy::redundant_pub_crate, reason = "it contradicts `unreachable_pub`")]

use durable::{step, workflow, StepFailed, Value};

/// What was bought.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Order {
    /// How much of it.
    pub count: u32,
}

/// What a step returns.
pub type OrderResult<T> = Result<T, String>;

/// A step with arguments of every kind.
///
/// # Errors
/// If there is nothing.
#[step]
#[inline]
pub fn borrowed(order: &Order, _note: &str, (first, second): (u32, u32), mut sum: u32) -> OrderResult<u32> {
    sum = sum.saturating_add(order.count).saturating_add(first).saturating_add(second);
    if sum == 0 {
        return Err("nothing".to_owned());
    }
    Ok(sum)
}

/// A step with all options.
///
/// # Errors
/// If it takes too long.
#[step(name = "all-options", retries = 2, backoff = "1ms..2ms", timeout = "30s", retry_if = again, args = record, strict, crate = durable)]
#[inline]
pub async fn retried(order: Order, mut count: u32, _unused: String) -> Result<u32, StepFailed> {
    count = count.saturating_add(order.count);
    core::future::ready(Ok(count)).await
}

/// Whether to try again.
const fn again(_failed: &StepFailed) -> bool {
    true
}

/// A generic step.
#[step(args = ignore)]
#[must_use]
#[inline]
pub fn generic<T, const COUNT: usize>(all: [T; COUNT]) -> Vec<T>
where
    T: Value + Clone,
{
    all.to_vec()
}

/// A step that takes what implements a trait.
#[step]
#[inline]
#[expect(clippy::impl_trait_in_params, reason = "the form is the point")]
pub async fn implementor(shown: impl core::fmt::Display + Send) -> String {
    core::future::ready(()).await;
    shown.to_string()
}

/// A step that returns nothing.
#[step]
#[inline]
pub fn unit() {}

/// An async step that returns nothing.
#[step]
#[inline]
pub async fn unit_later() {
    core::future::ready(()).await;
}

impl Order {
    /// A method.
    #[step]
    #[must_use]
    #[inline]
    pub fn doubled(&self) -> u32 {
        self.count.saturating_mul(2)
    }

    /// A method by value.
    #[step]
    #[must_use]
    #[inline]
    pub fn more(mut self) -> Self {
        self.count = self.count.saturating_add(1);
        self
    }

    /// An async method.
    ///
    /// # Errors
    /// If there is nothing.
    #[step(retries = 1)]
    #[inline]
    pub async fn counted(&self, least: u32) -> OrderResult<u32> {
        if self.count < least {
            return Err("nothing".to_owned());
        }
        core::future::ready(Ok(self.count)).await
    }
}

/// A trait whose methods are steps.
pub trait Gateway {
    /// A method without a body.
    fn fee(&self) -> u32;

    /// A method with one.
    #[step]
    #[inline]
    fn total(&self, cents: u32) -> u32 {
        self.fee().saturating_add(cents)
    }
}

impl Gateway for Order {
    #[step]
    #[inline]
    fn fee(&self) -> u32 {
        self.count
    }
}

/// A workflow.
///
/// # Errors
/// If there is nothing.
#[workflow]
#[inline]
pub fn plain(order: Order, (first, second): (u32, u32), _note: String) -> OrderResult<u32> {
    unit();
    let sum = borrowed(&order, "note", (first, second), 1)?;
    Ok(sum.saturating_add(order.doubled()).saturating_add(order.total(1)).saturating_add(order.more().count))
}

/// An async workflow.
///
/// # Errors
/// If it takes too long.
#[workflow(name = "later", entry = Later)]
#[inline]
pub async fn later(mut count: u32) -> Result<u32, StepFailed> {
    unit_later().await;
    count = count.saturating_add(retried(Order { count }, 1, String::new()).await?);
    let order = Order { count };
    let counted = order.counted(0).await.unwrap_or_default();
    let shown = implementor(counted).await;
    Ok(u32::try_from(shown.len()).unwrap_or_default().saturating_add(generic([count, counted]).iter().sum()))
}

/// A workflow that nobody should use.
#[workflow]
#[deprecated = "use `plain`"]
#[inline]
pub fn old() {}

/// A workflow without a result.
#[workflow]
#[doc(hidden)]
#[inline]
pub fn hidden() {}

/// A private workflow.
#[workflow]
fn private(id: u32) -> u32 {
    id
}

/// Modules of their own.
mod inner {
    use durable::workflow;

    /// A workflow for this crate.
    #[workflow]
    pub(crate) async fn nested(count: u32) -> u32 {
        super::private(core::future::ready(count).await)
    }
}

#[cfg(test)]
mod tests {
    use durable::Engine;

    use super::{inner, plain, Later, Order};

    #[test]
    fn expansions_run_as_they_are_linted() -> Result<(), Box<dyn core::error::Error>> {
        let engine = Engine::in_memory()?;
        let sum = plain::durable("plain", Order { count: 1 }, (2, 3), String::new()).on(&engine).run();
        assert_eq!(sum.ok(), Some(13));
        let later = Later::durable("later", 3).on(&engine).run();
        assert_eq!(durable::__private::doc::block_on(later)?, 15);
        let nested = inner::nested::durable("nested", 7).on(&engine).run();
        assert_eq!(durable::__private::doc::block_on(nested)?, 7);
        Ok(())
    }
}
