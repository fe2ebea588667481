// So it is in an `async fn`.
use durable::step;

#[step]
async fn charge(cents: u32) -> u64 {
    cents
}

fn main() {}
