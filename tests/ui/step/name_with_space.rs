// A name cannot hold a space.
use durable::step;

#[step(name = "charge card")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
