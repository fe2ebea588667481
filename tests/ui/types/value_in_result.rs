// The value of a `Result` is blamed, not the `Result`.
use durable::step;

struct Receipt;

#[step]
fn charge() -> Result<Receipt, String> {
    Ok(Receipt)
}

fn main() {}
