// An option needs its value.
use durable::step;

#[step(name = )]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
