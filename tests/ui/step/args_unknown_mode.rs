// Arguments are ignored or recorded.
use durable::step;

#[step(args = all)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
