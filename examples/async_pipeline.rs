//! Async steps under tokio: branches with `durable::join!`, a durable sleep, and a timeout.
//!
//! ```sh
//! cargo run --example async_pipeline -- crash    # aborts between the downloads and the upload
//! cargo run --example async_pipeline             # uploads what was downloaded before
//! ```

use std::time::Duration;

use durable::{Engine, step, workflow};

struct Crash(bool);

#[step(retries = 2, backoff = "10ms..100ms", timeout = "5s")]
async fn download(part: &str) -> anyhow::Result<Vec<u8>> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    println!("download: {part}");
    Ok(part.bytes().rev().collect())
}

#[step]
async fn upload(bytes: &[u8]) -> anyhow::Result<usize> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    println!("upload: {} bytes", bytes.len());
    Ok(bytes.len())
}

#[workflow]
async fn pipeline(name: String) -> anyhow::Result<String> {
    let (head, body) = durable::join!(download("head"), download("body"));
    let bytes = [head?, body?].concat();
    durable::future::sleep(Duration::from_millis(100)).await;
    if durable::resource::<Crash>().0 {
        println!("crash: the process aborts before the upload");
        std::process::abort();
    }
    Ok(format!("{name}: {} bytes", upload(&bytes).await?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let engine = Engine::builder().with(Crash(crash)).open("async_pipeline.db")?;
    for step in engine.steps("pipeline-1")? {
        println!("already recorded: {} = {}", step.key(), step.output);
    }
    println!("done: {}", pipeline::durable("pipeline-1", "report".into()).on(&engine).run().await?);
    Ok(())
}
