// Runs from before there were versions have none, so the first one is 1.
use durable::workflow;

#[workflow(version = 0)]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
