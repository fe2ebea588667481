// A macro's arguments are read too.
use durable::workflow;

#[workflow]
fn fulfil() {
    println!("{:?}", std::time::Instant::now());
}

fn main() {}
