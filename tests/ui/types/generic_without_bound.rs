// A generic value needs the bound that says it can be stored.
use durable::step;

#[step]
fn first<T: Clone>(all: &[T]) -> T {
    all[0].clone()
}

fn main() {}
