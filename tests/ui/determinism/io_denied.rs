// Files are refused where `io` is denied.
use durable::workflow;

#[workflow(deny(io))]
fn fulfil() -> bool {
    std::fs::read("order.json").is_ok()
}

fn main() {}
