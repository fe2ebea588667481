// The number of retries is a number.
use durable::step;

#[step(retries = "3")]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
