// A `const fn` cannot be a workflow.
use durable::workflow;

#[workflow]
const fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
