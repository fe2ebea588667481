// A workflow is not retried as a whole.
use durable::workflow;

#[workflow(retries = 3)]
fn fulfil(order: u64) -> Result<u64, String> {
    Ok(order)
}

fn main() {}
