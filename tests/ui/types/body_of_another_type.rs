// A mistake in the body is rustc's to report, where it is.
use durable::step;

#[step]
fn charge(cents: u32) -> u64 {
    cents
}

fn main() {}
