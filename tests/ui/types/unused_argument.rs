// An argument that the body does not use is reported as ever.
#![deny(unused_variables)]
use durable::step;

#[step]
fn charge(cents: u64) -> u64 {
    1
}

fn main() {}
