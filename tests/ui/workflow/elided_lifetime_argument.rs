// A lifetime borrows, whatever the type.
use durable::workflow;

use std::borrow::Cow;

#[workflow]
fn fulfil(order: Cow<'_, str>) -> usize {
    order.len()
}

fn main() {}
