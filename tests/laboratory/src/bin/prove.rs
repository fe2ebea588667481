//! The proof, and its sum: `prove [<scale>] [<argument of cargo test> …]` runs the whole laboratory at a scale, 10
//! if none is named, and ends with one table of all that it did and one line that says what held.
//! `prove sum <ledger>` sums up what another run wrote down, at the scale that the environment names.

use std::path::Path;
use std::process::{Command, ExitCode};

use durable_laboratory::{LEDGER, Sum, VARIABLE, scale};

/// The scale of a proof for which none is named.
const SCALE: &str = "10";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match &words[..] {
        ["sum", ledger] => sum(Path::new(ledger), scale()),
        [scale, rest @ ..] if scale.parse::<u64>().is_ok_and(|scale| scale > 0) => prove(scale, rest),
        rest => prove(SCALE, rest),
    }
}

/// Runs every test to its end, whatever fails, and sums up.
fn prove(scale: &str, rest: &[&str]) -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--profile", "prove", "-p", "durable-laboratory", "--no-fail-fast"]).args(rest);
    tests.args(["--", "--nocapture"]).env(VARIABLE, scale).env(LEDGER, &ledger);
    let passed = tests.status().expect("cargo").success();
    let summed = sum(&ledger, scale.parse().expect("a number"));
    if passed {
        return summed;
    }
    println!("NOT PROVED: a test failed, see above");
    ExitCode::FAILURE
}

fn sum(ledger: &Path, scale: u64) -> ExitCode {
    let sum = Sum::of(ledger, scale);
    println!("\n{sum}");
    if sum.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
