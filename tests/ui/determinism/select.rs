// A race is decided by timing.
use durable::workflow;

#[workflow]
async fn fulfil() -> u8 {
    tokio::select! {
        a = async { 1 } => a,
        b = async { 2 } => b,
    }
}

fn main() {}
