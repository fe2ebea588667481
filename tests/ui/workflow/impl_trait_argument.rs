// An argument that is stored needs a type with a name.
use durable::workflow;

#[workflow]
fn fulfil(order: impl ToString) -> String {
    order.to_string()
}

fn main() {}
