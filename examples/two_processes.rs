//! Two processes on one file: the first one dies in the middle of a run, and the second, which looks after all
//! runs, goes on with it by itself. Nobody calls the workflow again.
//!
//! ```sh
//! cargo run --example two_processes    # starts its own second process, and is the first one
//! ```

use std::process::{Command, Stdio};

use durable::{Engine, step, workflow};

struct Dies(bool);

#[step]
fn prepare(order: &str) -> String {
    println!("process {}: preparing {order}", role());
    format!("parcel with the {order}")
}

#[step]
fn ship(parcel: &str) -> String {
    if durable::resource::<Dies>().0 {
        println!("process {}: dies before it ships", role());
        std::process::abort();
    }
    println!("process {}: ships the {parcel}", role());
    format!("{parcel}, shipped")
}

#[workflow]
fn fulfil(order: String) -> String {
    let parcel = prepare(&order);
    ship(&parcel)
}

fn role() -> &'static str {
    if std::env::args().any(|arg| arg == "first") { "one" } else { "two" }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let is_first = role() == "one";
    let engine = Engine::builder().with(Dies(is_first)).recover(!is_first).open("two_processes.db")?;
    if is_first {
        fulfil::durable("order-1", "lamp".into()).on(&engine).start()?.wait()?;
        return Ok(());
    }
    engine.reset("order-1")?;
    let mut first = Command::new(std::env::current_exe()?).arg("first").stderr(Stdio::null()).spawn()?;
    first.wait()?;
    let handle = engine.handle::<fulfil>("order-1")?.ok_or("the first process started nothing")?;
    println!("done: {}", handle.wait()?);
    Ok(())
}
