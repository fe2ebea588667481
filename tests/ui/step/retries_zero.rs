// No retries are no option.
use durable::step;

#[step(retries = 0)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
