// A function that is named and not called is read too.
use durable::workflow;

use std::time::SystemTime;

#[workflow]
fn fulfil(known: bool) {
    let _ = known.then(SystemTime::now);
}

fn main() {}
