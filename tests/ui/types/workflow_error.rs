// The error of a workflow is stored too.
use durable::workflow;

struct Declined;

#[workflow]
fn fulfil(order: u64) -> Result<u64, Declined> {
    Ok(order)
}

fn main() {}
