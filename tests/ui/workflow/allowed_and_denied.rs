// A family cannot be allowed and denied.
use durable::workflow;

#[workflow(allow(io), deny(io, env))]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
