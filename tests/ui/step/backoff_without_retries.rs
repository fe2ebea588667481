// A backoff without retries means nothing.
use durable::step;

#[step(backoff = "1s..1m")]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
