// The order of completion is the scheduler's.
use durable::workflow;

struct FuturesUnordered;

impl FuturesUnordered {
    fn new() {}
}

#[workflow]
fn fulfil() {
    FuturesUnordered::new();
}

fn main() {}
