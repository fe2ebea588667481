// The entry type is named, not quoted.
use durable::workflow;

#[workflow(entry = "Fulfil")]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
