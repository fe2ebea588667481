// The futures of a race have one output; `select!` takes different ones.
async fn fulfil() -> u8 {
    durable::race!(async { 1_u8 }, async { "two" })
}

fn main() {}
