// `crate` is a path.
use durable::step;

#[step(crate = 1)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
