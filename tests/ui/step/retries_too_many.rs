// There is a most number of retries.
use durable::step;

#[step(retries = 1_000_001)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
