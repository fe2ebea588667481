// A name cannot be empty.
use durable::step;

#[step(name = "")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
