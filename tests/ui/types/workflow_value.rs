// The result of a workflow is stored too.
use durable::workflow;

struct Tracking;

#[workflow]
fn fulfil(order: u64) -> Tracking {
    let _ = order;
    Tracking
}

fn main() {}
