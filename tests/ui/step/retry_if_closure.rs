// A predicate is named by its path.
use durable::step;

#[step(retries = 3, retry_if = |error| true)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
