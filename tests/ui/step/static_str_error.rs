// A step cannot return a `&'static str`, not as an error either.
use durable::step;

#[step]
fn charge(cents: u64) -> Result<u64, &'static str> {
    Ok(cents)
}

fn main() {}
