// The pattern of an arm has to fit whatever its future returns.
async fn fulfil() -> u8 {
    durable::select! {
        Ok(n) = async { "1".parse::<u8>() } => n,
        n = async { 2 } => n,
    }
}

fn main() {}
