// An `allow` names a family that there is.
use durable::workflow;

#[workflow]
fn fulfil() {
    #[durable::allow(time)]
    let _ = 1;
}

fn main() {}
