//! What the macros emit, printed as a user would read it in `cargo expand`.
//! A snapshot per promise: what docs say of an expansion is held here to what the expansion is.

use proc_macro2::TokenStream;

use crate::{expand_step, expand_workflow};

fn print(tokens: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens).unwrap())
}

fn step(options: &str, item: &str) -> String {
    print(expand_step(options.parse().unwrap(), item.parse().unwrap()))
}

fn workflow(options: &str, item: &str) -> String {
    print(expand_workflow(options.parse().unwrap(), item.parse().unwrap()))
}

/// The method `item`, expanded and put back into its `impl` block.
fn method(options: &str, item: &str) -> String {
    let method = expand_step(options.parse().unwrap(), item.parse().unwrap());
    print(quote::quote!(impl Shop { #method }))
}

#[test]
fn a_step_is_its_function_around_one_call() {
    insta::assert_snapshot!(step(
        "",
        "/// Charges.\n#[must_use] pub fn charge(order: &Order, cents: u64) -> Result<Payment, OrderError> \
         { gateway(order)?; return Ok(cents) }"
    ));
}

#[test]
fn an_async_step_awaits_one_future() {
    insta::assert_snapshot!(step(
        "",
        "async fn charge(order: &Order) -> Result<Payment, OrderError> { body }"
    ));
}

#[test]
fn a_step_without_arguments_or_result_is_short() {
    insta::assert_snapshot!(step("args = ignore", "fn tick() { body }"));
}

#[test]
fn patterns_are_bound_inside() {
    insta::assert_snapshot!(step("", "fn f((a, b): (u8, u8), mut c: u8, _: u8, _d: u8) -> u8 { body }"));
}

#[test]
fn every_attempt_gets_copies_of_what_is_taken_by_value() {
    insta::assert_snapshot!(step(
        "retries = 5, backoff = \"200ms..30s\", retry_if = is_transient",
        "fn charge(order: &Order, mut card: Card, (a, b): (u8, u8)) -> io::Result<Payment> { body }"
    ));
}

#[test]
fn an_async_attempt_owns_its_copies() {
    insta::assert_snapshot!(step(
        "retries = 1, timeout = \"2m\", strict, name = \"charge-card\", crate = again::durable",
        "async fn charge(card: Card) -> Result<Payment, OrderError> { body }"
    ));
}

#[test]
fn a_step_that_runs_at_most_once_says_so() {
    insta::assert_snapshot!(step("at_most_once", "fn wire(cents: u64) -> Result<Receipt, Refused> { body }"));
}

#[test]
fn the_receiver_is_part_of_the_fingerprint_and_never_recorded() {
    insta::assert_snapshot!(method(
        "args = record",
        "pub(crate) fn charge(&self, order: &Order) -> u8 { body }"
    ));
}

#[test]
fn a_workflow_has_a_twin_that_carries_its_entry_points() {
    insta::assert_snapshot!(workflow(
        "",
        "/// Fulfils.\n#[cfg(unix)] pub fn fulfil(order: Order) -> Result<Tracking, OrderError> { body }"
    ));
}

#[test]
fn an_async_workflow_returns_futures() {
    insta::assert_snapshot!(workflow(
        "name = \"fulfil-order\", entry = Fulfil",
        "async fn fulfil(id: u64, (a, mut b): (u8, u8)) -> io::Result<Tracking> { body }"
    ));
}

#[test]
fn a_workflow_that_cannot_fail_has_no_error() {
    insta::assert_snapshot!(workflow("", "pub(crate) fn count() -> u64 { body }"));
}
