// A workflow cannot return `impl Trait`.
use durable::workflow;

#[workflow]
fn fulfil(order: u64) -> impl ToString {
    order
}

fn main() {}
