// A struct cannot be a step.
use durable::step;

#[step]
struct Charge;

fn main() {}
