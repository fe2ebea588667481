// A type that is no `Result` is not named as one.
use durable::workflow;

#[derive(serde::Serialize, serde::Deserialize)]
struct ScanResult;

#[workflow]
fn scan() -> ScanResult {
    ScanResult
}

fn main() {}
