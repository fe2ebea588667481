// A step cannot return a slice.
use durable::step;

#[step]
fn tail(names: &[u8]) -> &[u8] {
    &names[1..]
}

fn main() {}
