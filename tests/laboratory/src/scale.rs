//! How much of everything: one number from the environment, 1 if it says nothing.

/// The variable that makes runs longer: `just prove` sets it.
pub const VARIABLE: &str = "DURABLE_LABORATORY_SCALE";

/// How many times the usual amount is asked for.
pub fn scale() -> u64 {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    if text.is_empty() { 1 } else { text.parse().expect("the scale is a number from 1 on") }
}

/// So much in a short run; so much at scale 10, and in proportion at others.
pub fn amount(short: u64, at_ten: u64) -> u64 {
    short.max(at_ten * scale() / 10)
}

/// The variable that asks for one seed alone, to see again what a run printed.
pub const SEED: &str = "DURABLE_LABORATORY_SEED";

/// The seeds of a sweep: so many times the scale, or the one that is asked for.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let text = std::env::var(SEED).unwrap_or_default();
    if text.is_empty() {
        return 0..count * scale();
    }
    let seed = text.parse().expect("a seed is a number");
    seed..seed + 1
}
