// A trait method without a body cannot be a step.
use durable::step;

trait Gateway {
    #[step]
    fn charge(&self, cents: u64) -> u64;
}

fn main() {}
