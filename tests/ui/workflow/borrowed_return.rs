// A workflow cannot return a reference.
use durable::workflow;

#[workflow]
fn fulfil() -> &'static str {
    "done"
}

fn main() {}
