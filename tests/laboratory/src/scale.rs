//! How much of everything: one number from the environment, 1 if it says nothing.

/// The variable that makes runs longer: `just prove` sets it.
pub const VARIABLE: &str = "DURABLE_LABORATORY_SCALE";

/// How many times the usual amount is asked for.
pub fn scale() -> u64 {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    if text.is_empty() { 1 } else { text.parse().expect("the scale is a number from 1 on") }
}
