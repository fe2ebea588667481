// A step cannot change its receiver.
use durable::step;

struct Till(u64);

impl Till {
    #[step]
    fn charge(&mut self, cents: u64) {
        self.0 += cents;
    }
}

fn main() {}
