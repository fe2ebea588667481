//! A process whose files may not grow beyond a limit, until it lifts that itself and goes on:
//! `limited <folder> <workload> <bytes>`. It says in one line how many calls ended with a typed error, and what does
//! not hold.

use std::path::PathBuf;

use durable_laboratory::{Trial, Workload, cram, limit_files};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, workload, bytes] = &arguments[..] else { panic!("a folder, a workload and a number") };
    let trial = Trial::of(Workload::named(workload).expect("a workload"));
    limit_files(Some(bytes.parse().expect("a number")));
    let struck = cram(trial, &PathBuf::from(folder), || limit_files(None));
    println!("{}", serde_json::to_string(&(struck.faults, struck.violations)).expect("plain data"));
}
