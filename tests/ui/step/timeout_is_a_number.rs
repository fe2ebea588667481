// A timeout says its unit.
use durable::step;

#[step(timeout = 30)]
async fn charge(cents: u64) -> Result<u64, std::io::Error> {
    Ok(cents)
}

fn main() {}
