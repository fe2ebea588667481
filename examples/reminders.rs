//! Runs that wait: each reminder sleeps in the store and not in memory, and goes on by itself when it is due,
//! also after the process that started it has died.
//!
//! ```sh
//! cargo run --example reminders -- crash    # starts three reminders, and aborts when they sleep
//! cargo run --example reminders             # they ring, those that are overdue at once
//! ```

use std::time::Duration;

use durable::{Engine, step, workflow};

const REMINDERS: [(&str, u64); 3] = [("tea", 1_200), ("bread", 1_400), ("call", 1_600)];

#[step]
fn ring(what: &str) {
    println!("ring: {what}");
}

#[workflow]
fn remind(what: String, after_ms: u64) {
    durable::sleep(Duration::from_millis(after_ms));
    ring(&what);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let engine = Engine::builder().recover(true).open("reminders.db")?;
    // Starting a run that is there already changes nothing.
    let start =
        |(what, after_ms): (&str, u64)| remind::durable(what, what.to_owned(), after_ms).on(&engine).start();
    let handles = REMINDERS.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
    for (what, _) in REMINDERS {
        while crash && engine.run(what)?.is_some_and(|run| run.owner.is_some()) {
            std::thread::yield_now();
        }
    }
    if crash {
        println!("all three sleep: the process aborts");
        std::process::abort();
    }
    for handle in handles {
        handle.wait()?;
        println!("done: {}", handle.id());
    }
    Ok(())
}
