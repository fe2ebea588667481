// The error of an `async fn` has to be rebuilt too.
use durable::step;

struct Declined;

#[step]
async fn charge() -> Result<u64, Declined> {
    Ok(1)
}

fn main() {}
