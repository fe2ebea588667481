// A late attempt needs an error to become.
use durable::step;

#[step(timeout = "30s")]
async fn charge(cents: u64) -> u64 {
    cents
}

fn main() {}
