// A sleep that blocks, in an async workflow.
use std::time::Duration;

use durable::workflow;

#[workflow]
async fn fulfil() {
    durable::sleep(Duration::from_secs(1));
}

fn main() {}
