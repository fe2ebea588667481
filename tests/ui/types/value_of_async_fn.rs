// The value of an `async fn` is stored too.
use durable::step;

struct Receipt;

#[step]
async fn charge() -> Receipt {
    Receipt
}

fn main() {}
