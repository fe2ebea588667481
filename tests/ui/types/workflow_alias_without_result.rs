// An alias of `Result` says in its name that it is one.
use durable::workflow;

type Outcome = Result<u64, String>;

#[workflow]
fn fulfil(order: u64) -> Outcome {
    Ok(order)
}

fn main() {}
