// A workflow sleeps durably.
use durable::workflow;

use std::{thread, time::Duration};

#[workflow]
fn fulfil() {
    thread::sleep(Duration::from_secs(1));
}

fn main() {}
