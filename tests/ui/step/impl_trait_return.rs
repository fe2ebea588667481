// A step cannot return `impl Trait`.
use durable::step;

#[step]
fn numbers() -> impl Iterator<Item = u8> {
    0..3
}

fn main() {}
