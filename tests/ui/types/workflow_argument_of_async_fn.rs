// The input of an async workflow is stored.
use durable::workflow;

struct Order;

#[workflow]
async fn fulfil(order: Order) {
    let _ = order;
}

fn main() {}
