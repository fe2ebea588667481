// A retry would run the body once more.
use durable::step;

#[step(at_most_once, retries = 3)]
fn wire(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
