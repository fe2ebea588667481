// A step cannot return a reference.
use durable::step;

#[step]
fn first(names: &[String]) -> &str {
    &names[0]
}

fn main() {}
