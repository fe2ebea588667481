// So it does in an `async fn`.
use durable::step;

#[step]
async fn parse(text: &str) -> Result<u64, Unreadable> {
    Ok(text.parse::<u64>()?)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Unreadable;

fn main() {}
