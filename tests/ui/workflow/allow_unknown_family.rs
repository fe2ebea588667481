// A family has a name of its own.
use durable::workflow;

#[workflow(allow(time))]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
