// Outside a workflow there is nothing to allow.

#[durable::allow(clock)]
fn started() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() {}
