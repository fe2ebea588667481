// A method cannot be a workflow.
use durable::workflow;

struct Shop;

impl Shop {
    #[workflow]
    fn fulfil(&self, order: u64) -> u64 {
        order
    }
}

fn main() {}
