// There is no such option.
use durable::step;

#[step(retry = 3)]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
