// An arm of a `select!` cannot be left out by a condition.
async fn fulfil(express: bool) -> u8 {
    durable::select! {
        n = async { 1 }, if express => n,
        n = async { 2 } => n,
    }
}

fn main() {}
