// A workflow starts branches, not tasks.
use durable::workflow;

#[workflow]
async fn fulfil() {
    let _ = tokio::spawn(async { 1 }).await;
}

fn main() {}
