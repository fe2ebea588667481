// A `select!` has no arm for what fits no pattern.
async fn fulfil() -> u8 {
    durable::select! {
        n = async { 1 } => n,
        else => 2,
    }
}

fn main() {}
