// `strict` has no value.
use durable::step;

#[step(strict = true)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
