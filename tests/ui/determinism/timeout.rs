// A timeout is a race with the clock.
use durable::workflow;

use std::time::Duration;

#[workflow]
async fn fulfil() -> bool {
    tokio::time::timeout(Duration::from_secs(1), async { 1 }).await.is_ok()
}

fn main() {}
