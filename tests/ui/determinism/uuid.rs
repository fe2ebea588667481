// A workflow makes durable ids.
use durable::workflow;

struct Uuid;

impl Uuid {
    fn new_v4() {}
}

#[workflow]
fn fulfil() {
    Uuid::new_v4();
}

fn main() {}
