//! Children: a run that starts others in the background and waits for all of them. Each is started once and
//! runs on its own, whatever becomes of the process.
//!
//! ```sh
//! cargo run --example fleet -- crash    # aborts when some ships have arrived
//! cargo run --example fleet             # goes on with those that have not
//! ```

use durable::{Engine, Handle, step, workflow};

const SHIPS: u32 = 8;

struct CrashAt(Option<u32>);

#[step]
fn sail(ship: u32) -> u32 {
    if durable::resource::<CrashAt>().0 == Some(ship) {
        println!("ship {ship}: the process aborts");
        std::process::abort();
    }
    println!("ship {ship}: arrived");
    ship * 100
}

#[workflow]
fn voyage(ship: u32) -> u32 {
    sail(ship)
}

#[workflow]
fn fleet(ships: u32) -> u32 {
    let start = |ship| voyage::start(format!("ship-{ship}"), ship);
    let voyages: Vec<Handle<voyage>> = (0..ships).filter_map(|ship| start(ship).ok()).collect();
    voyages.iter().filter_map(|voyage| voyage.wait().ok()).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crash = std::env::args().any(|arg| arg == "crash");
    let builder = Engine::builder().with(CrashAt(crash.then_some(SHIPS / 2)));
    // One at a time, so that the crash leaves some ships at sea.
    let engine = builder.workers_max(1).recover(true).open("fleet.db")?;
    println!("{} runs are stored", engine.runs().count());
    let cargo = fleet::durable("fleet", SHIPS).on(&engine).start()?.wait()?;
    println!("the fleet brought {cargo} tons");
    Ok(())
}
