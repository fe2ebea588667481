// A predicate says yes or no.
use durable::step;

#[step(retries = 3, retry_if = code)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn code(error: &String) -> usize {
    error.len()
}

fn main() {}
