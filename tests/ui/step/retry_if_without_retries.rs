// A predicate for retries needs retries.
use durable::step;

#[step(retry_if = is_transient)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn is_transient(_: &String) -> bool {
    true
}

fn main() {}
