// `try_join!` takes 12 futures at most.
async fn one() -> Result<u8, String> {
    Ok(1)
}

async fn fulfil() {
    let _ = durable::try_join!(one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one());
}

fn main() {}
