// Which error comes first is the scheduler's.
use durable::workflow;

#[workflow]
async fn fulfil() -> Result<(u8, u8), String> {
    tokio::try_join!(async { Ok(1) }, async { Ok(2) })
}

fn main() {}
