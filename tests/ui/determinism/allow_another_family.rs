// An `allow` turns off the family that it names.
use durable::workflow;

#[workflow]
fn fulfil() {
    #[durable::allow(random)]
    let _ = std::time::Instant::now();
}

fn main() {}
