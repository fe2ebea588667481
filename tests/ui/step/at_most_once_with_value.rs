// `at_most_once` has no value.
use durable::step;

#[step(at_most_once = true)]
fn wire(cents: u64) -> u64 {
    cents
}

fn main() {}
