// Options are separated by commas.
use durable::step;

#[step(strict name = "charge-card")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
