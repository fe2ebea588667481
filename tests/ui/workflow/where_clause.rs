// A where clause has nothing to say about a workflow.
use durable::workflow;

#[workflow]
fn fulfil(order: u64) -> u64
where
    u64: Copy,
{
    order
}

fn main() {}
