// A step cannot change what is inside its argument either.
use durable::step;

#[step]
fn charge(total: Option<&mut u64>) -> bool {
    total.is_some()
}

fn main() {}
