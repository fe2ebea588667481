// A pattern is copied before it is taken apart.
use durable::step;

struct Card(u64);

#[step(retries = 3)]
fn charge(Card(number): Card) -> Result<u64, String> {
    Ok(number)
}

fn main() {}
