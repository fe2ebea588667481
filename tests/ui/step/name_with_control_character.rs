// A name cannot hold a character that does not show.
use durable::step;

#[step(name = "charge\u{202e}card")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
