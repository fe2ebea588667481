// `None` is no failure.
use durable::step;

#[step(retries = 3)]
fn find(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
