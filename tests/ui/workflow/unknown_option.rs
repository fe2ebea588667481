// There is no such option.
use durable::workflow;

#[workflow(queue = "orders")]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
