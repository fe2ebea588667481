// A name has at most 128 bytes.
use durable::step;

#[step(name = "charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-charge-cards")]
fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
