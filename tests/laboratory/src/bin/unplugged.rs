//! A process that takes its own disk away while a workload runs on it. It is told by its arguments where, where
//! to note, what, after how many notes, and with which durability:
//! `unplugged <folder> <notes> <workload> <count> <durability>`. What had been noted before the disk went is
//! kept beside the notes: a sync that is under way when a file system is shut down may be answered as if it had
//! worked, and what follows from that is after the power cut.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;

use durable_laboratory::{DATABASE, Workload, World, builder, cut_power, durability};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, notes, workload, count, durability_name] = &arguments[..] else {
        eprintln!("a folder, a file, a workload, a number and a durability");
        return ExitCode::FAILURE;
    };
    let (folder, notes) = (Path::new(folder), Path::new(notes));
    let workload = Workload::named(workload).expect("a workload");
    let durability = durability(durability_name).expect("a durability");
    let (alarm, alarmed) = channel();
    let world = World::kept(notes).telling(count.parse().expect("a number"), alarm);
    thread::scope(|threads| {
        // Once the world is gone, nobody is told any more.
        threads.spawn(move || {
            if alarmed.recv().is_ok() {
                fs::copy(notes, notes.with_extension("before")).expect("a copy of the notes");
                cut_power(folder).expect("to be allowed to");
            }
        });
        let engine = builder(world).durability(durability).open(folder.join(DATABASE));
        match engine.and_then(|engine| workload.run(&engine)) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    })
}
