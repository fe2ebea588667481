// A name cannot hold a dot.
use durable::workflow;

#[workflow(name = "orders.fulfil")]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
