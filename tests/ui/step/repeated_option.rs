// An option can be given once.
use durable::step;

#[step(strict, name = "charge-card", strict)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
