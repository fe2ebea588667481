// The error has to hold what came late.
use durable::step;

#[step(timeout = "30s")]
async fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

fn main() {}
