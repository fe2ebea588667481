// A workflow cannot change what its argument refers to.
use durable::workflow;

#[workflow]
fn fulfil(orders: &mut Vec<u64>) {
    orders.clear();
}

fn main() {}
