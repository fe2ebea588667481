// An `unsafe fn` cannot be a workflow.
use durable::workflow;

#[workflow]
unsafe fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
