// All mistakes of an item are reported together.
use durable::step;

#[step(retry = 3, timeout = "1s")]
const fn first(names: &mut [u8; 2]) -> &u8 {
    &names[0]
}

fn main() {}
