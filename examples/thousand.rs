//! A workflow of 1,000 steps, for counting what they cost: `strace -c -e trace=fsync,fdatasync` shows one
//! sync per step.

use durable::{Engine, step, workflow};

#[step]
fn work(i: u32) -> u32 {
    i
}

#[workflow]
fn thousand(steps: u32) -> u32 {
    (0..steps).map(work).fold(0, u32::wrapping_add)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name the database")?;
    let engine = Engine::open(path)?;
    println!("{}", thousand::durable("thousand", 1_000).on(&engine).run()?);
    Ok(())
}
