//! Compensation: a failure that the workflow handles is handled the same after a crash.
//!
//! ```sh
//! cargo run --example saga -- crash    # aborts in the middle of undoing
//! cargo run --example saga             # undoes the rest, and nothing twice
//! ```

use durable::{Engine, step, workflow};

struct Crash(bool);

#[step]
fn book(what: &str) -> Result<String, String> {
    if what == "hotel" {
        println!("book: the hotel is full");
        return Err("the hotel is full".into());
    }
    println!("book: {what}");
    Ok(format!("{what} booked"))
}

#[step]
fn cancel(what: &str) {
    println!("cancel: {what}");
}

#[workflow]
fn travel(parts: Vec<String>) -> Result<Vec<String>, String> {
    let mut booked = Vec::new();
    for part in &parts {
        match book(part) {
            Ok(booking) => booked.push((part, booking)),
            Err(error) => {
                for (part, _) in booked.iter().rev() {
                    cancel(part);
                    if durable::resource::<Crash>().0 {
                        println!("crash: the process aborts while it undoes");
                        std::process::abort();
                    }
                }
                return Err(format!("{error}; {} bookings were undone", booked.len()));
            }
        }
    }
    Ok(booked.into_iter().map(|(_, booking)| booking).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let engine = Engine::builder().with(Crash(crash)).open("saga.db")?;
    for step in engine.steps("trip-1")? {
        println!("already recorded: {} = {}", step.key(), step.output);
    }
    let parts = ["flight", "car", "hotel"].map(String::from).to_vec();
    match travel::durable("trip-1", parts).on(&engine).run() {
        Ok(bookings) => println!("booked: {bookings:?}"),
        Err(error) => println!("given up: {error}"),
    }
    Ok(())
}
