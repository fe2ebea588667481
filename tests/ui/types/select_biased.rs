// A `select!` polls its futures in order without being told.
async fn fulfil() -> u8 {
    durable::select! {
        biased;
        n = async { 1 } => n,
        n = async { 2 } => n,
    }
}

fn main() {}
