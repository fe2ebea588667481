//! Steps in a row, with retries and errors of your own type.
//!
//! ```sh
//! cargo run --example order -- crash    # aborts after the charge
//! cargo run --example order             # ships, and does not charge again
//! ```

use durable::{Engine, RunError, step, workflow};
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum OrderError {
    #[error("the bank is busy")]
    BankBusy,
    #[error("there is no stock of {0}")]
    NoStock(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    cents: u64,
}

/// Whether this process is to die after the charge, and how often the bank has been asked.
struct World {
    crash: bool,
    calls: std::sync::atomic::AtomicU32,
}

#[step(retries = 5, backoff = "20ms..1s")]
fn charge(order: &Order) -> Result<String, OrderError> {
    let call = durable::resource::<World>().calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if call < 2 {
        println!("charge: the bank is busy, call {}", call + 1);
        return Err(OrderError::BankBusy);
    }
    println!("charge: {} cents, key {}", order.cents, durable::idempotency_key());
    Ok(format!("receipt for {}", order.item))
}

#[step]
fn ship(order: &Order) -> Result<String, OrderError> {
    if order.item.is_empty() {
        return Err(OrderError::NoStock("nothing".into()));
    }
    println!("ship: {}", order.item);
    Ok(format!("parcel with the {}", order.item))
}

#[workflow]
fn fulfil(order: Order) -> Result<String, OrderError> {
    let receipt = charge(&order)?;
    if durable::resource::<World>().crash {
        println!("crash: the process aborts after the charge");
        std::process::abort();
    }
    Ok(format!("{} and {receipt}", ship(&order)?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let engine = Engine::builder().with(World { crash, calls: 0.into() }).open("order.db")?;
    for step in engine.steps("order-1")? {
        println!("already recorded: {} = {}", step.key(), step.output);
    }
    let order = Order { item: "lamp".into(), cents: 4_200 };
    println!("done: {}", fulfil::durable("order-1", order).on(&engine).run()?);

    // A failure is an error of the workflow's own type, and tries again from the step that failed.
    let empty = Order { item: String::new(), cents: 0 };
    match fulfil::durable("order-2", empty).on(&engine).run() {
        Err(RunError::Failed(error)) => println!("failed as it should: {error}"),
        other => println!("unexpected: {other:?}"),
    }
    Ok(())
}
