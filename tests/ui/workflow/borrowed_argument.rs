// The input of a workflow is owned.
use durable::workflow;

#[workflow]
fn fulfil(order: &str) -> usize {
    order.len()
}

fn main() {}
