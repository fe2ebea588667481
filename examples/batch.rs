//! A loop: each turn is a step of its own, `process_0`, `process_1`, … and runs once.
//!
//! ```sh
//! cargo run --example batch -- crash    # aborts in the middle of the batch
//! cargo run --example batch             # goes on with the item that was not done
//! ```

use durable::{Engine, step, workflow};

const ITEMS: u32 = 20;

struct CrashAt(Option<u32>);

#[step]
fn process(item: u32) -> u64 {
    if durable::resource::<CrashAt>().0 == Some(item) {
        println!("item {item}: the process aborts");
        std::process::abort();
    }
    println!("item {item}: processed");
    u64::from(item) * u64::from(item)
}

#[workflow]
fn batch(items: u32) -> u64 {
    (0..items).map(process).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let engine = Engine::builder().with(CrashAt(crash.then_some(ITEMS / 2))).open("batch.db")?;
    println!("{} of {ITEMS} items are recorded", engine.steps("batch")?.len());
    println!("sum of squares: {}", batch::durable("batch", ITEMS).on(&engine).run()?);
    Ok(())
}
