// A predicate takes a reference to the step's own error.
use durable::step;

#[step(retries = 3, retry_if = is_transient)]
fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn is_transient(code: &u32) -> bool {
    *code == 503
}

fn main() {}
