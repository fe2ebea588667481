// A name cannot hold a dot.
use durable::step;

#[step(name = "card.charge")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
