// Versions are compared, so they are numbers.
use durable::workflow;

#[workflow(version = "2")]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
