// Each attempt needs its own copy of what is taken by value.
use durable::step;

struct Card;

#[step(retries = 3)]
fn charge(cents: u64, card: Card) -> Result<u64, String> {
    drop(card);
    Ok(cents)
}

fn main() {}
