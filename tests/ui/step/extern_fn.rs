// An `extern fn` cannot be a step.
use durable::step;

#[step]
extern "C" fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
