// An `impl` block cannot be a step.
use durable::step;

struct Till;

#[step]
impl Till {}

fn main() {}
