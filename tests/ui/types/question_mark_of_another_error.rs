// A `?` converts to the step's own error or not at all.
use durable::step;

#[step]
fn parse(text: &str) -> Result<u64, Unreadable> {
    Ok(text.parse::<u64>()?)
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Unreadable;

fn main() {}
