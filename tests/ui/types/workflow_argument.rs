// The input of a workflow is stored.
use durable::workflow;

struct Order;

#[workflow]
fn fulfil(priority: u8, order: Order) -> u8 {
    let _ = order;
    priority
}

fn main() {}
