// The input of a workflow is owned to its depths.
use durable::workflow;

#[workflow]
fn fulfil(orders: Vec<&str>) -> usize {
    orders.len()
}

fn main() {}
