// An option starts with its name.
use durable::step;

#[step("charge-card")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
