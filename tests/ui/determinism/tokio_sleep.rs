// An async workflow sleeps durably too.
use durable::workflow;

use std::time::Duration;

#[workflow]
async fn fulfil() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn main() {}
