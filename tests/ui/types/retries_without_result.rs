// Only a step that can fail is tried again.
use durable::step;

#[step(retries = 3)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
