// A backoff goes from short to long.
use durable::step;

#[step(retries = 3, backoff = "30s..100ms")]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
