// A step has to return.
use durable::step;

#[step]
fn forever() -> ! {
    loop {}
}

fn main() {}
