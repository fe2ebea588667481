// A workflow starts branches, not threads.
use durable::workflow;

use std::thread;

#[workflow]
fn fulfil() {
    let _ = thread::spawn(|| 1).join();
}

fn main() {}
