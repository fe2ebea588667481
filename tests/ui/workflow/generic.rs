// A generic workflow could not be found again.
use durable::workflow;

#[workflow]
fn fulfil<T: Clone>(order: T) -> u64 {
    drop(order);
    1
}

fn main() {}
