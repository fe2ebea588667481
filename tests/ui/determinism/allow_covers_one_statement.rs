// An `allow` covers the statement that it stands on.
use durable::workflow;

use std::time::Instant;

#[workflow]
fn fulfil() -> bool {
    #[durable::allow(clock)]
    let start = Instant::now();
    start < Instant::now()
}

fn main() {}
