// A plain function cannot be stopped.
use durable::step;

#[step(timeout = "30s")]
fn charge(cents: u64) -> Result<u64, std::io::Error> {
    Ok(cents)
}

fn main() {}
