// A step cannot return a reference inside a `Result`.
use durable::step;

#[step]
fn first(names: &[String]) -> Result<&str, String> {
    Ok(&names[0])
}

fn main() {}
