// A module of the same name is there: `entry = …` names the entry points otherwise.
use durable::workflow;

mod fulfil {}

#[workflow]
fn fulfil(order: u64) -> u64 {
    order
}

fn main() {}
