// The threads of a parallel iterator are not the run's.
use durable::workflow;

trait ParallelIterator: Sized {
    fn into_par_iter(self) {}
}

impl ParallelIterator for Vec<u8> {}

#[workflow]
fn fulfil(orders: Vec<u8>) {
    orders.into_par_iter();
}

fn main() {}
