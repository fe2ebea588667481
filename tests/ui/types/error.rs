// An error has to be rebuilt.
use durable::step;

struct Declined;

#[step]
fn charge() -> Result<u64, Declined> {
    Ok(1)
}

fn main() {}
