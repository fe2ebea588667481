// A value that serde does not know cannot be stored.
use durable::step;

struct Receipt;

#[step]
fn charge(cents: u64) -> Receipt {
    let _ = cents;
    Receipt
}

fn main() {}
