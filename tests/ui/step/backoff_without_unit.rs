// A duration has a unit.
use durable::step;

#[step(retries = 3, backoff = "100..30s")]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
