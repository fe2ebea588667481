// A workflow draws durable numbers.
use durable::workflow;

mod rand {
    pub fn random() -> u64 {
        4
    }
}

#[workflow]
fn fulfil() -> u64 {
    rand::random()
}

fn main() {}
