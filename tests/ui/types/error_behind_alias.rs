// An error that an alias hides is blamed at the alias.
use durable::step;

struct Declined;
type Result<T> = std::result::Result<T, Declined>;

#[step]
fn charge() -> Result<u64> {
    Ok(1)
}

fn main() {}
