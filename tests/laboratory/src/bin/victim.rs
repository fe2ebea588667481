//! A process that runs one workload to its end, unless it is killed on the way. It is told by its arguments
//! where, what, and at which operation to die: `victim <folder> <workload> [<operation> <nothing|half>]`; or that it
//! is killed from outside: `victim <folder> <workload> alone <durability>`.

use std::path::PathBuf;
use std::process::ExitCode;

use durable_laboratory::{ALONE, Victim, Workload, durability};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().map(PathBuf::from).expect("a folder");
    let mut words = arguments.map(|argument| argument.into_string().expect("a word"));
    let workload = words.next().and_then(|name| Workload::named(&name)).expect("a workload");
    let how = words.next();
    if how.as_deref() == Some(ALONE) {
        let durability = words.next().and_then(|name| durability(&name)).expect("a durability");
        return told(Victim::live_alone(&folder, workload, durability));
    }
    let kill = how.map(|at| (at.parse().expect("an operation"), words.next()));
    let kill = kill.map(|(at, done)| Victim::kill(at, done.as_deref() == Some("half")));
    told(Victim::live(&folder, workload, kill).map(|_| ()))
}

fn told(end: Result<(), durable::Error>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
