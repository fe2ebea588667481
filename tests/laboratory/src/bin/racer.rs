//! A process that reaches for the same runs as others, once it is told to:
//! `racer <folder> <database> <durability> <threads> <runs>`. It says its process id
//! when it is ready, and waits for a line.

use std::path::PathBuf;

use durable_laboratory::{durability, race};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, database, name, threads, runs] = &arguments[..] else {
        panic!("a folder, two names and two numbers")
    };
    let durability = durability(name).expect("a durability");
    let number = |text: &String| text.parse::<usize>().expect("a number");
    println!("ready {}", std::process::id());
    std::io::stdin().lines().next().expect("a line").expect("a line");
    race(&PathBuf::from(folder), database, durability, number(threads), number(runs));
}
