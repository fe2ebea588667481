// An option can be given once.
use durable::workflow;

#[workflow(name = "a", name = "b")]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
