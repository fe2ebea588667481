// The stored input is the same in every build.
use durable::workflow;

#[workflow]
fn fulfil(order: u64, #[cfg(all())] gift: bool) -> bool {
    order > 1 && gift
}

fn main() {}
