// A module cannot be a workflow.
use durable::workflow;

#[workflow]
mod fulfil {}

fn main() {}
