// A recorded argument is written as JSON.
use durable::step;

struct Card;

#[step(args = record)]
fn charge(cents: u64, card: &Card) -> u64 {
    let _ = card;
    cents
}

fn main() {}
