//! The program of the README. Kill it anywhere and run it again: it goes on where it stopped.

use durable::{step, workflow};

#[step(retries = 5, backoff = "200ms..30s")]
fn charge(order: &str) -> Result<u32, String> {
    // If the machine dies at the wrong moment this runs twice; the key tells the other side.
    println!("charging for the {order} with key {}", durable::idempotency_key());
    Ok(4_200)
}

#[step]
fn ship(order: &str, cents: u32) -> Result<String, String> {
    println!("shipping the {order}");
    Ok(format!("the {order} is under way, {cents} cents paid"))
}

#[workflow]
fn fulfil(order: String) -> Result<String, String> {
    let cents = charge(&order)?;
    ship(&order, cents)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    durable::open("orders.db")?;
    println!("{}", fulfil::run_durable("order-123", "lamp".into())?);
    Ok(())
}
