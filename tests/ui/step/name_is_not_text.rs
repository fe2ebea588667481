// A name is written as text.
use durable::step;

#[step(name = charge_card)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
