// A lifetime parameter is generic too.
use durable::workflow;

#[workflow]
fn fulfil<'a>(order: u64) -> u64 {
    order
}

fn main() {}
