// `deny` says what.
use durable::workflow;

#[workflow(deny())]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
