// An `allow` says what.
use durable::workflow;

#[workflow]
fn fulfil() {
    #[durable::allow]
    let _ = 1;
}

fn main() {}
