// The environment is refused where `env` is denied.
use durable::workflow;

#[workflow(deny(env))]
fn fulfil() -> bool {
    std::env::var("ORDERS").is_ok()
}

fn main() {}
