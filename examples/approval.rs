//! A run that waits for a person: it is kept in the database and not in memory, so nothing runs while nobody has
//! decided, and whoever decides may be another process on another day.
//!
//! ```sh
//! cargo run --example approval -- ask lamp        # starts the run; the process ends while the run waits
//! cargo run --example approval                    # lists what waits
//! cargo run --example approval -- approve lamp    # or `refuse lamp`: the run goes on, in this process
//! ```

use std::time::Duration;

use durable::{Engine, Event, Topic, step, workflow};

const DECISION: Topic<bool> = Topic::new("decision");
const STATE: Event<String> = Event::new("state");

const WEEK: Duration = Duration::from_hours(7 * 24);

#[step]
fn order(item: &str) -> String {
    println!("ordering the {item}");
    format!("the {item} is ordered")
}

#[workflow]
fn purchase(item: String) -> String {
    durable::set_event(STATE, format!("may the {item} be bought?"));
    let outcome = match durable::recv(DECISION, WEEK) {
        Some(true) => order(&item),
        Some(false) => format!("the {item} was refused"),
        None => format!("nobody decided about the {item} within a week"),
    };
    durable::set_event(STATE, outcome.clone());
    outcome
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder().recover(true).open("approval.db")?;
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (None, _) => {
            for run in engine.runs() {
                let run = run?;
                let state = engine.get_event(&run.id, STATE, Duration::ZERO)?;
                println!("{}: {}, {}", run.id, run.status, state.unwrap_or_default());
            }
        }
        (Some("ask"), Some(item)) => {
            purchase::durable(&item, item.clone()).on(&engine).start()?;
            let question = engine.get_event(&item, STATE, Duration::MAX)?;
            println!("{}", question.unwrap_or_default());
        }
        (Some(decision @ ("approve" | "refuse")), Some(item)) => {
            // Sent again, as after a crash here, it counts once.
            let _entered = engine.enter();
            durable::send_once("decision", &item, DECISION, decision == "approve")?;
            if let Some(run) = engine.handle::<purchase>(&item)? {
                println!("{}", run.wait()?);
            }
        }
        _ => return Err("say `ask <item>`, `approve <item>`, `refuse <item>`, or nothing".into()),
    }
    Ok(())
}
