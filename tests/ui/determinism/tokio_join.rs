// Branches of one scope share its numbers.
use durable::workflow;

#[workflow]
async fn fulfil() -> (u8, u8) {
    tokio::join!(async { 1 }, async { 2 })
}

fn main() {}
