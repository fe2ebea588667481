// The first attempt of several would use up an `Arc<Self>` too.
use durable::step;

struct Card(String);

impl Card {
    #[step(retries = 3)]
    fn charge(self: std::sync::Arc<Self>) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

fn main() {}
