//! The onboarding of an employee, which one crashes half-way and resumes from a menu:
//!
//! ```sh
//! cargo run --example onboarding            # the menu; also `-- run`, `-- crash`, `-- reset`
//! ```
//!
//! Crash it with 2: the process aborts while the laptop is being provisioned and access is set up already.
//! Run it with 1: what was done is not done again, and the employee's id is the same. The database is
//! `onboarding.db` in the current folder. `ONBOARDING_SPEED=10` makes it ten times as fast.

mod board;

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use board::Board;
use durable::store::StepStatus;
use durable::{Engine, step, workflow};

const DATABASE: &str = "onboarding.db";
const RUN: &str = "onboarding-grace";
const CRASHES_IN: &str = "provision_laptop";

/// Whether this process is to die in the middle, which no recorded input may say.
struct Crash(bool);

#[step]
fn create_employee(name: &str) -> String {
    let number = durable::uuid().as_u128() % 10_000;
    work("create_employee", 2_000, format!("{}-{number:04}", name.to_uppercase()))
}

#[step]
fn provision_laptop(employee: &str) -> String {
    work("provision_laptop", 3_000, format!("laptop of {employee}"))
}

#[step]
fn setup_access(employee: &str) -> String {
    work("setup_access", 2_500, format!("{}@example.com", employee.to_lowercase()))
}

#[step]
fn send_welcome_mail(address: &str) -> String {
    work("send_welcome_mail", 1_500, format!("mail to {address}"))
}

#[workflow]
fn onboard(name: String) -> String {
    let employee = create_employee(&name);
    let (laptop, address) = durable::join(|| provision_laptop(&employee), || setup_access(&employee));
    send_welcome_mail(&address);
    format!("employee {employee} has the {laptop} and the address {address}")
}

/// In how many parts the work of a step is shown.
const TICKS: u32 = 20;

/// What takes time: so many milliseconds, shown as they pass, then its result.
fn work(step: &str, millis: u64, result: String) -> String {
    let (board, crash) = (durable::resource::<Board>(), durable::resource::<Crash>());
    let tick_time = Duration::from_millis(millis) / TICKS / speed();
    for tick in 0..TICKS {
        board.progress(step, tick * 100 / TICKS);
        if crash.0 && step == CRASHES_IN && tick == TICKS - 1 {
            wait_for_access();
            board.crash();
        }
        std::thread::sleep(tick_time);
    }
    board.done(step, &result);
    result
}

/// Waits until access is set up and recorded, so that the crash shows both: a branch that is kept and one
/// that is not.
fn wait_for_access() {
    let recorded = |engine: &Engine| {
        engine.steps(RUN).is_ok_and(|steps| steps.iter().any(|step| step.name == "setup_access"))
    };
    if let Ok(engine) = Engine::open(DATABASE) {
        while !recorded(&engine) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn speed() -> u32 {
    let speed = std::env::var("ONBOARDING_SPEED").ok().and_then(|speed| speed.parse().ok());
    speed.filter(|speed| *speed > 0).unwrap_or(1)
}

/// Runs or resumes the onboarding.
fn run(crash: bool) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder().with(Board::default()).with(Crash(crash)).open(DATABASE)?;
    println!("Onboarding grace, in {DATABASE}:");
    let _entered = engine.enter();
    let board = durable::resource::<Board>();
    let steps = engine.steps(RUN)?;
    if crash && steps.iter().any(|step| step.name == CRASHES_IN) {
        println!("Nothing is left to crash in, the laptop is provisioned: reset first.");
    }
    for step in steps.iter().filter(|step| step.status == StepStatus::Completed) {
        board.cached(&step.name, step.output.trim_matches('"'));
    }
    let outcome = board.show(|| onboard::run_durable(RUN, "grace".into()))?;
    println!("Done: {outcome}");
    Ok(())
}

fn reset() -> Result<(), Box<dyn std::error::Error>> {
    let known = Engine::open(DATABASE)?.reset(RUN)?;
    let words = if known { "The onboarding is forgotten" } else { "There is no onboarding to forget" };
    println!("{words}, in {DATABASE}.");
    Ok(())
}

fn menu() -> Result<(), Box<dyn std::error::Error>> {
    let input = io::stdin();
    let mut chosen = false;
    loop {
        println!("\nOnboarding of an employee");
        println!("  1  run, or resume where it stopped");
        println!("  2  run, and crash half-way");
        println!("  3  reset");
        println!("  4  exit");
        print!("> ");
        io::stdout().flush()?;
        let mut line = Vec::new();
        if input.lock().read_until(b'\n', &mut line)? == 0 {
            println!();
            // Nobody is there to choose: show something all the same.
            return if chosen { Ok(()) } else { run(false) };
        }
        let line = String::from_utf8_lossy(&line);
        let choice = line.trim();
        if !input.is_terminal() {
            println!("{choice}");
        }
        chosen = true;
        match choice {
            "1" | "run" => run(false)?,
            "2" | "crash" => run(true)?,
            "3" | "reset" => reset()?,
            "4" | "exit" | "q" => return Ok(()),
            other => println!("There is no choice {other:?}: type 1, 2, 3 or 4."),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        None => menu(),
        Some("run") => run(false),
        Some("crash") => run(true),
        Some("reset") => reset(),
        Some(other) => Err(format!("unknown argument {other:?}: say run, crash, reset or nothing").into()),
    }
}
