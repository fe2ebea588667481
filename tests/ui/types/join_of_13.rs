// `join!` takes 12 futures at most.
async fn one() -> u8 {
    1
}

async fn fulfil() {
    let _ = durable::join!(one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one());
}

fn main() {}
