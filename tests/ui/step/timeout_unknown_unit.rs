// A day is no unit.
use durable::step;

#[step(timeout = "1d")]
async fn charge(cents: u64) -> Result<u64, std::io::Error> {
    Ok(cents)
}

fn main() {}
