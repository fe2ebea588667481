// An `unsafe fn` cannot be a step.
use durable::step;

#[step]
unsafe fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
