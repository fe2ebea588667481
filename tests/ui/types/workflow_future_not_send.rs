// An async workflow moves between threads.
use durable::workflow;

#[workflow]
async fn fulfil(order: u64) -> u64 {
    let order = std::rc::Rc::new(order);
    std::future::ready(()).await;
    *order
}

fn main() {}
