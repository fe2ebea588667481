// A `const fn` cannot be a step.
use durable::step;

#[step]
const fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
