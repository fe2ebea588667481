// The first attempt of several would use up `self`.
use durable::step;

struct Card(String);

impl Card {
    #[step(retries = 3)]
    fn charge(self) -> Result<String, String> {
        Ok(self.0)
    }
}

fn main() {}
