// A step cannot change what its argument refers to.
use durable::step;

#[step]
fn charge(total: &mut u64, cents: u64) {
    *total += cents;
}

fn main() {}
