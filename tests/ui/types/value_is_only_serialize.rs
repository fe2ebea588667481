// A value must be read back as well as written.
use durable::step;

#[derive(serde::Serialize)]
struct Receipt;

#[step]
fn charge() -> Receipt {
    Receipt
}

fn main() {}
