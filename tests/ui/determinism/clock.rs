// A workflow reads the durable clock.
use durable::workflow;

use std::time::SystemTime;

#[workflow]
fn fulfil() -> bool {
    SystemTime::now() > SystemTime::UNIX_EPOCH
}

fn main() {}
